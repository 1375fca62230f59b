/** The host agent: fetches the host document, brings fabric and machines to it, serves the routers, and says how things stand. */
import { randomUUID } from 'node:crypto';
import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { Condition, HostDocument } from 'documents';
import { backOffDelay } from './channel/back-off.ts';
import { ControllerClient } from './channel/controller.ts';
import { Doorbell } from './channel/doorbell.ts';
import { answerRequest } from './channel/requests.ts';
import { checkHostDocument, readHostDocument, writeHostDocument } from './document/document-file.ts';
import type { HostIdentity } from './document/host-file.ts';
import type { MovedMacs } from './fabric/apply.ts';
import { Fabric } from './fabric/fabric.ts';
import { MachineLinks } from './links/machine-links.ts';
import type { MachineDriver, MachineReport } from './machines/machine.ts';
import { NamespaceDriver } from './machines/namespace/namespace-driver.ts';
import type { RouterProgram } from './machines/namespace/router-process.ts';
import { namespaceDirectory } from './names.ts';
import { Reconciliation } from './reconciliation.ts';
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
  readonly log: Log;
}

const POLL_EVERY = 30_000;
/** Changes in the kernel come in bursts, ms. */
const SETTLE = 30;
const retry = { first: 500, longest: 15_000 };
const well: Outcome = { failures: [] };

export class HostAgent {
  readonly #options: HostAgentOptions;
  readonly #directory: string;
  readonly #controller: ControllerClient;
  readonly #doorbell: Doorbell;
  readonly #fabric: Fabric;
  readonly #links: MachineLinks;
  readonly #driver: MachineDriver;
  readonly #routers: Routers;
  readonly #startedAt = Date.now();
  #document: HostDocument | null = null;
  #etag: string | null = null;
  /** Generation whose last apply ended well: what differs from it later has drifted. */
  #settled = -1;
  #generation = 0;
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
    this.#directory = join(state, 'host');
    this.#controller = new ControllerClient(identity.controller, identity.token);
    this.#routers = new Routers({
      directory: join(this.#directory, 'routers'),
      controller: this.#controller,
      eventFile: join(this.#directory, 'events.jsonl'),
      report: (report) => this.#report(report),
      onTrouble: (router, error) => options.log.warn({ router, err: error.message }, 'delivery failed'),
    });
    this.#fabric = new Fabric({ prefix, onChange: () => this.#kernelChanged() });
    this.#links = new MachineLinks({ onChange: () => this.#kernelChanged() });
    this.#driver = new NamespaceDriver({
      prefix,
      machinesDirectory: join(this.#directory, 'machines'),
      routersDirectory: join(this.#directory, 'routers'),
      router,
      listener: {
        changed: () => this.#statusSoon(),
        report: (report) => this.#report(report),
        routerStarted: (id) => this.#routers.daemonStarted(id),
      },
    });
    this.#reconciliation = new Reconciliation({
      fabric: this.#fabric,
      links: this.#links,
      driver: this.#driver,
      routers: this.#routers,
      isWanted: (id) =>
        !this.#closed &&
        this.#document?.machines.some((machine) => machine.id === id && machine.state === 'running') === true,
      onBooted: () => this.#statusSoon(),
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
          void answerRequest(frame, { routers: this.#routers, status: () => this.#pushStatus() }).then(
            (response) => this.#doorbell.send(response),
          );
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
    this.#doorbell.open();
    this.#pollTimer = setInterval(() => this.#poll(), POLL_EVERY);
    if (this.#document !== null) await this.#reconcile();
    mkdirSync(namespaceDirectory, { recursive: true });
    this.#watcher = watch(namespaceDirectory, (_event, name) => {
      if (name?.startsWith(`${this.#options.prefix}-`) === true) this.#kernelChanged();
    });
  }

  /** Ends the agent. Machines, bridges and rules stay as they are; the next start adopts them. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#pollTimer);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#settleTimer);
    clearTimeout(this.#statusTimer);
    this.#watcher?.close();
    this.#doorbell.close();
    await this.#reconciling;
    this.#routers.close();
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
      this.#generation = document.generation;
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
    const { reasons, moved, ...outcomes } = await this.#reconciliation.apply(document, { thorough });
    this.#outcomes = outcomes;
    if (moved !== null) this.#reportMoved(moved);
    if (reasons.length > 0 && this.#settled === document.generation) {
      this.#report({
        type: 'host.drift-healed',
        level: 'warning',
        subject: document.id,
        message: `Changed by somebody else and put right: ${reasons.join('; ')}`.slice(0, 2000),
      });
    }
    const failed = Object.values(outcomes).some((outcome) => outcome.failures.length > 0);
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

  /** One report for each machine that took over. */
  #reportMoved({ moves, microseconds }: MovedMacs): void {
    for (const [machine, own] of Map.groupBy(moves, ({ port }) => port.machine)) {
      const macs = own.map(({ port, mac, from }) => `${mac} from ${from} to ${port.device}`);
      const message = `Moved within ${microseconds} µs: ${macs.join(', ')}`.slice(0, 2000);
      this.#report({ type: 'host.macs-moved', level: 'info', subject: machine, message });
    }
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
    this.#routers.takeEvents([
      {
        id: `evt-${randomUUID()}`,
        time: Date.now(),
        type,
        level,
        subject,
        message,
        generation: this.#generation,
      },
    ]);
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
    const facts: HostFacts = {
      id: this.#options.identity.id,
      version,
      startedAt: this.#startedAt,
      generation: this.#generation,
      refused: this.#refused,
      ...this.#outcomes,
      machineStatuses: (this.#document?.machines ?? []).map((machine) => this.#driver.status(machine)),
    };
    this.#conditions = hostConditions(facts, this.#conditions, Date.now());
    const status = hostStatus(facts, this.#conditions);
    await this.#controller.putStatus(status);
    return status;
  }
}
