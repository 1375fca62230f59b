/** The host agent: fetches the host document, brings fabric and machines to it, serves the routers, and says how things stand. */
import { type KeyObject, randomUUID } from 'node:crypto';
import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { Condition, Failover as FailoverReport, HostDocument } from 'documents';
import { BundleStore } from './bundles/bundle-store.ts';
import { ownBundle } from './bundles/own-bundle.ts';
import { backOffDelay } from './channel/back-off.ts';
import { ControllerClient } from './channel/controller.ts';
import { Doorbell } from './channel/doorbell.ts';
import { answerRequest } from './channel/requests.ts';
import { checkHostDocument, readHostDocument, writeHostDocument } from './document/document-file.ts';
import type { HostIdentity } from './document/host-file.ts';
import { RouterDaemons } from './failover/router-daemons.ts';
import { Failover, type Unfenced } from './failover/failover.ts';
import { fedPairs } from './failover/fed-pairs.ts';
import type { Candidate } from './failover/on-duty.ts';
import { SyncPipes } from './failover/sync-pipes.ts';
import { announceAddresses } from './fabric/announce.ts';
import type { ObservedFabric } from './fabric/observed.ts';
import { Fabric } from './fabric/fabric.ts';
import { driftHealed, failedOver, macsMoved, notFenced } from './event-texts.ts';
import { MachineLinks } from './links/machine-links.ts';
import type { MachineDriver, MachineReport } from './machines/machine.ts';
import { MachineImage } from './machines/namespace/image.ts';
import { NamespaceDriver } from './machines/namespace/namespace-driver.ts';
import { EXPORT_STATE, type RouterProgram } from './machines/namespace/router-process.ts';
import { machineNamespace, namespaceDirectory } from './names.ts';
import { Prober } from './probes/prober.ts';
import { Reconciliation } from './reconciliation.ts';
import { MOST_STATE_BYTES } from './routers/copy-state.ts';
import { defaultPatience, type Patience } from './routers/router-delivery.ts';
import { Routers } from './routers/routers.ts';
import { type HostFacts, hostConditions, hostStatus, type Outcome } from './status.ts';
import { version } from './version.ts';

/** What the agent logs through; pino's interface, as far as it is used. */
export interface Log {
  readonly info: (fields: object, message: string) => void;
  readonly warn: (fields: object, message: string) => void;
  readonly error: (fields: object, message: string) => void;
}

export interface HostAgentOptions {
  readonly identity: HostIdentity;
  /** State directory of the stack; the agent keeps to `host/` in it. */
  readonly state: string;
  readonly prefix: string;
  readonly router: RouterProgram;
  /** Keys that may sign bundles of routers; without any the host runs what it came with. */
  readonly trustedKeys?: readonly KeyObject[];
  readonly log: Log;
  /** When a daemon counts as hung; 10 s if not said. */
  readonly patience?: Patience;
}

const POLL_EVERY = 30_000;
/** Changes in the kernel come in bursts, ms. */
const SETTLE = 30;
const retry = { first: 500, longest: 15_000 };
const well: Outcome = { failures: [] };
/** For reading the state of a router beside its daemon. */
const exportBounds = { within: 20_000, mostBytes: MOST_STATE_BYTES };

export class HostAgent {
  readonly #options: HostAgentOptions;
  readonly #directory: string;
  readonly #controller: ControllerClient;
  readonly #doorbell: Doorbell;
  readonly #fabric: Fabric;
  readonly #links: MachineLinks;
  readonly #driver: MachineDriver;
  readonly #image = new MachineImage();
  readonly #routers: Routers;
  readonly #prober: Prober;
  readonly #failover: Failover;
  readonly #pipes: SyncPipes;
  readonly #daemons: RouterDaemons;
  readonly #startedAt = Date.now();
  #document: HostDocument | null = null;
  #etag: string | null = null;
  /** Generation whose last apply ended well: what differs from it later has drifted. */
  #settled = -1;
  /** Generation whose ports, entries and links were placed last: who waits for frames to be moved goes by it. */
  #generation = 0;
  /** Generation whose apply ended last, well or not. */
  #tried = 0;
  #refused: HostFacts['refused'] = null;
  #outcomes = { fabric: well, security: well, machines: well };
  #conditions: readonly Condition[] = [];
  readonly #reconciliation: Reconciliation;
  #persisted: HostDocument | null = null;
  #reconciling: Promise<void> | null = null;
  #again = false;
  #thorough = true;
  #attempt = 0;
  #fetching = false;
  #fetchAgain = false;
  #pollTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #settleTimer: NodeJS.Timeout | undefined;
  #statusTimer: NodeJS.Timeout | undefined;
  #watcher: FSWatcher | null = null;
  #closed = false;

  constructor(options: HostAgentOptions) {
    this.#options = options;
    const { identity, state, prefix, router } = options;
    const { patience = defaultPatience } = options;
    this.#directory = join(state, 'host');
    this.#controller = new ControllerClient(identity.controller, identity.token);
    this.#routers = new Routers({
      directory: join(this.#directory, 'routers'),
      controller: this.#controller,
      eventFile: join(this.#directory, 'events.jsonl'),
      report: (report) => this.#report(report),
      onTrouble: (router, error) => options.log.warn({ router, err: error.message }, 'delivery failed'),
      onListens: (router) => {
        this.#daemons.listens(router);
        this.#pipes.listens(router);
      },
      exportState: (router, signal) =>
        this.#driver.runOnce(router, [EXPORT_STATE], { ...exportBounds, signal }),
      onSilent: (router, seconds) => this.#daemons.silent(router, seconds),
      processorUse: (router) => this.#driver.processorUse(router),
      patience,
    });
    this.#fabric = new Fabric({
      prefix,
      onChange: () => this.#kernelChanged(),
      onEvent: (event) => this.#failover.fabricChanged(event),
    });
    this.#failover = new Failover({
      prefix,
      directory: this.#directory,
      route: () => this.#fabric.route,
      onPromoted: (failover, by, failures) => this.#promoted(failover, by, failures),
      onUnfenced: (unfenced) => this.#unfenced(unfenced),
      isSynced: (id) =>
        this.#pipes.statuses.some(({ standby, state }) => standby === id && state === 'synced'),
      onLoss: (router, death) => {
        // Otherwise the machine is there, and is put right rather than made.
        if (router !== null && death?.gone === true) {
          const message = `${router} died, ${death.reason}, and is made anew: nobody could take over`;
          this.#report({ type: 'host.router-died', level: 'error', subject: router, message });
        }
        void this.#reconcile();
      },
    });
    this.#daemons = new RouterDaemons({
      restart: (router) => !this.#closed && this.#driver.restart(router),
      listensAnew: (router) => this.#routers.listensAnew(router),
      report: (report) => this.#report(report),
      onChange: () => this.#statusSoon(),
    });
    this.#pipes = new SyncPipes({
      directory: join(this.#directory, 'routers'),
      onChange: () => this.#statusSoon(),
    });
    this.#links = new MachineLinks({ onChange: () => this.#kernelChanged() });
    const bundles = new BundleStore({
      directory: join(this.#directory, 'bundles'),
      trusted: options.trustedKeys ?? [],
      fetch: (checksum) => this.#controller.bundle(checksum),
    });
    this.#driver = new NamespaceDriver({
      prefix,
      machinesDirectory: join(this.#directory, 'machines'),
      routersDirectory: join(this.#directory, 'routers'),
      router,
      own: ownBundle(router.bundle, bundles),
      bundles,
      image: () => this.#image.text,
      listener: {
        changed: () => this.#statusSoon(),
        report: (report) => this.#report(report),
        routerStarted: (id) => this.#routers.daemonStarted(id),
        routerEnded: (id) => {
          this.#failover.daemonEnded(id);
          this.#daemons.ended(id);
        },
      },
    });
    this.#prober = new Prober({ prefix, host: identity.id, report: (report) => this.#report(report) });
    this.#reconciliation = new Reconciliation({
      fabric: this.#fabric,
      links: this.#links,
      driver: this.#driver,
      routers: this.#routers,
      isWanted: (id) =>
        !this.#closed &&
        this.#effective?.machines.some((machine) => machine.id === id && machine.state === 'running') ===
          true,
      onBooted: () => this.#statusSoon(),
      examine: (router) => this.#failover.namespaceChanged(machineNamespace(prefix, router)),
      isConnected: () => this.#doorbell.connected,
      onUnannounced: (machine, error) =>
        options.log.warn({ machine, err: error.message }, 'addresses not announced'),
    });
    this.#doorbell = new Doorbell({
      url: identity.controller,
      token: identity.token,
      host: identity.id,
      version,
      onOpen: () => {
        options.log.info({ controller: identity.controller }, 'connected');
        this.#poll();
      },
      onClose: (reason) => options.log.warn({ reason }, 'controller is away'),
      onFrame: (frame) => {
        if (frame.type === 'host-document') void this.#fetch();
        else if (frame.type === 'router-document') this.#routers.ring(frame.router);
        else if (frame.type === 'request') {
          void answerRequest(frame, {
            routers: this.#routers,
            probeReading: (probe, from, to) => this.#prober.reading(probe, from, to),
            restartDaemon: (router) => this.#daemons.restart(router),
            status: () => this.#pushStatus(),
          }).then((response) => this.#doorbell.send(response));
        }
      },
    });
  }

  /** Adopts what is there by the persisted document, then follows the controller. Resolves after the first apply. */
  async start(): Promise<void> {
    const { identity } = this.#options;
    mkdirSync(join(this.#directory, 'machines'), { recursive: true, mode: 0o700 });
    mkdirSync(join(this.#directory, 'routers'), { recursive: true, mode: 0o700 });
    this.#routers.open();
    this.#document = readHostDocument(join(this.#directory, 'document.json'), identity.id);
    this.#persisted = this.#document;
    mkdirSync(namespaceDirectory, { recursive: true });
    this.#watcher = watch(namespaceDirectory, (_event, name) => {
      if (name?.startsWith(`${this.#options.prefix}-`) !== true) return;
      this.#failover.namespaceChanged(name);
      this.#kernelChanged();
    });
    // Deaths that nobody saw come first: a pass would bring a dead router back, and give it the MACs.
    if (this.#document !== null) await this.#fabric.open();
    this.#failover.open(this.#document);
    this.#doorbell.open();
    this.#pollTimer = setInterval(() => this.#poll(), POLL_EVERY);
    if (this.#document !== null) await this.#reconcile();
  }

  /** Ends the agent. Machines, bridges and rules stay as they are; the next start adopts them. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#pollTimer);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#settleTimer);
    clearTimeout(this.#statusTimer);
    this.#daemons.close();
    this.#watcher?.close();
    this.#doorbell.close();
    await this.#reconciling;
    this.#failover.close();
    this.#pipes.close();
    this.#routers.close();
    this.#prober.close();
    await this.#driver.close();
    this.#links.close();
    await this.#fabric.close();
    this.#controller.close();
  }

  /** Everything that is to happen from time to time, and after a connection came back. */
  #poll(): void {
    this.#thorough = true;
    void this.#fetch();
    void this.#routers.poll();
    void this.#reconcile();
    this.#statusSoon();
  }

  async #fetch(): Promise<void> {
    if (this.#fetching) {
      this.#fetchAgain = true;
      return;
    }
    this.#fetching = true;
    try {
      do {
        this.#fetchAgain = false;
        const fetched = await this.#controller.hostDocument(this.#etag);
        if (fetched === null || this.#closed) continue;
        const checked = checkHostDocument(fetched.body, this.#options.identity.id);
        this.#etag = fetched.etag;
        if ('problems' in checked) {
          this.#refused = checked;
          this.#options.log.error({ problems: checked.problems.slice(0, 5) }, 'document refused');
          this.#statusSoon();
          continue;
        }
        this.#refused = null;
        this.#document = checked.document;
        this.#attempt = 0;
        void this.#reconcile();
      } while (this.#fetchAgain);
    } catch (error) {
      this.#options.log.warn({ err: (error as Error).message }, 'host document not fetched');
    } finally {
      this.#fetching = false;
    }
  }

  /** What is wanted now: the document, with those in the places of the dead that took over. */
  get #effective(): HostDocument | null {
    return this.#document === null ? null : this.#failover.effective(this.#document);
  }

  #kernelChanged(): void {
    if (this.#closed || this.#document === null) return;
    clearTimeout(this.#settleTimer);
    this.#settleTimer = setTimeout(() => void this.#reconcile(), SETTLE);
  }

  /** One apply after the other; a wish that comes during one leads to one more. */
  #reconcile(): Promise<void> {
    if (this.#closed || this.#document === null) return Promise.resolve();
    this.#again = true;
    this.#reconciling ??= this.#applyAll();
    return this.#reconciling;
  }

  async #applyAll(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      const document = this.#document;
      if (document === null) break;
      try {
        await this.#apply(document);
      } catch (error) {
        this.#outcomes.fabric = {
          failures: [{ subject: document.id, message: (error as Error).message }],
        };
        this.#settled = -1;
        this.#options.log.error({ err: (error as Error).message }, 'apply failed');
      }
      this.#tried = document.generation;
      this.#statusSoon();
      this.#retryIfNeeded();
    }
    // In the same breath as the last look at `#again`: a wish that comes now starts anew.
    this.#reconciling = null;
  }

  async #apply(document: HostDocument): Promise<void> {
    const thorough = this.#thorough;
    this.#thorough = false;
    // Before it is applied: an agent killed halfway goes on with it. By the one before, it would bring back a router that
    // has been replaced, and give it the MACs.
    const unwritten = await this.#persist(document);
    if (unwritten === null) this.#failover.settle(document);
    this.#failover.guard(document);
    this.#pipes.want(fedPairs(this.#failover.effective(document)));
    const intent = {
      document: () => this.#failover.effective(document),
      examine: (found: Pick<ObservedFabric, 'links'>) => {
        const before = this.#failover.effective(document);
        this.#failover.examine(found.links.map(({ name, up, carrier = true }) => ({ name, up, carrier })));
        return this.#failover.effective(document) !== before;
      },
    };
    const { reasons, moved, placed, ...outcomes } = await this.#reconciliation.apply(intent, { thorough });
    this.#outcomes = outcomes;
    if (placed) this.#generation = document.generation;
    this.#daemons.keep(new Set(document.machines.map(({ id }) => id)));
    this.#prober.follow(document);
    if (moved !== null) for (const report of macsMoved(moved)) this.#report(report);
    if (reasons.length > 0 && this.#settled === document.generation)
      this.#report(driftHealed(document.id, reasons));
    const failed =
      this.#failover.unfenced.length > 0 ||
      Object.values(outcomes).some((outcome) => outcome.failures.length > 0);
    this.#settled = failed ? -1 : document.generation;
    if (!failed) this.#attempt = 0;
    if (unwritten !== null) throw unwritten;
  }

  /** Why the document could not be written, which is no reason not to apply it; null when it is on disk. */
  async #persist(document: HostDocument): Promise<Error | null> {
    if (this.#persisted === document) return null;
    try {
      await writeHostDocument(join(this.#directory, 'document.json'), document);
      this.#persisted = document;
      return null;
    } catch (error) {
      return error as Error;
    }
  }

  /** Tells the segments, has the remains removed, and says what happened. Frames are at the standby by now. */
  #promoted(failover: FailoverReport, { ports }: Candidate, failures: readonly string[]): void {
    const { promoted } = failover;
    // At once, as a pass under way may take long: what the dead router, or one made anew in its place, says of its state is
    // nothing to who serves now.
    if (this.#document !== null) this.#pipes.want(fedPairs(this.#failover.effective(this.#document)));
    const netns = machineNamespace(this.#options.prefix, promoted);
    setImmediate(() => {
      for (const { machineDevice } of ports) {
        if (this.#closed) return;
        try {
          announceAddresses(netns, machineDevice);
        } catch (error) {
          this.#options.log.warn(
            { machine: promoted, err: (error as Error).message },
            'addresses not announced',
          );
        }
      }
    });
    this.#report(failedOver(failover, failures));
    this.#statusSoon();
    void this.#reconcile();
  }

  /** Nobody takes over until what is left of it is off the net, which the passes see to. */
  #unfenced(unfenced: Unfenced): void {
    this.#report(notFenced(unfenced));
    this.#statusSoon();
    void this.#reconcile();
  }

  #retryIfNeeded(): void {
    if (this.#settled !== -1 || this.#closed) return;
    this.#attempt += 1;
    clearTimeout(this.#retryTimer);
    const delay = backOffDelay(retry, this.#attempt, Math.random());
    this.#retryTimer = setTimeout(() => void this.#reconcile(), delay);
  }

  #report({ type, level, subject, message }: MachineReport): void {
    this.#options.log[level === 'warning' ? 'warn' : level]({ type, subject }, message);
    const id = `evt-${randomUUID()}`;
    try {
      this.#routers.takeEvents([
        { id, time: Date.now(), type, level, subject, message, generation: this.#generation },
      ]);
    } catch (error) {
      // A full disk: what is reported was done, and what is to be done next must not be kept from it.
      this.#options.log.warn({ type, subject, err: (error as Error).message }, 'event not kept');
    }
  }

  /** Several changes of one moment make one report. */
  #statusSoon(): void {
    if (this.#closed) return;
    this.#statusTimer ??= setTimeout(() => {
      this.#statusTimer = undefined;
      void this.#pushStatus().catch(() => {
        // The next report has it all; there is one at the latest with the next poll.
      });
    }, 5);
  }

  async #pushStatus(): Promise<unknown> {
    const machines = this.#effective?.machines ?? [];
    const unfenced = this.#failover.unfenced.map(({ failover, message }) => ({
      subject: failover.router,
      message: `It died, ${failover.reason}, and its ports cannot be set down: ${message}`.slice(0, 1000),
    }));
    const facts: HostFacts = {
      id: this.#options.identity.id,
      version,
      startedAt: this.#startedAt,
      generation: this.#generation,
      tried: this.#tried,
      refused: this.#refused,
      ...this.#outcomes,
      fabric: { failures: [...this.#outcomes.fabric.failures, ...unfenced] },
      machineStatuses: [
        ...machines.map((machine) => this.#daemons.statusOf(machine, this.#driver.status(machine))),
        ...unfenced
          .filter(({ subject }) => machines.every(({ id }) => id !== subject))
          .map(({ subject, message }) => ({ id: subject, state: 'failed' as const, message })),
      ],
      image: this.#image.text,
      failovers: this.#failover.failovers,
      standbys: this.#pipes.statuses,
    };
    this.#conditions = hostConditions(facts, this.#conditions, Date.now());
    const status = hostStatus(facts, this.#conditions);
    await this.#controller.putStatus(status);
    return status;
  }
}
