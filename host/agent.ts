/** The host agent: fetches the host document, brings fabric and machines to it, serves the routers, and says how things stand. */
import { randomUUID } from 'node:crypto';
import { type FSWatcher, mkdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import type { Condition, HostDocument, Machine, SegmentPort } from 'documents';
import { backOffDelay } from './channel/back-off.ts';
import { ControllerClient } from './channel/controller.ts';
import { Doorbell } from './channel/doorbell.ts';
import { answerRequest } from './channel/requests.ts';
import { checkHostDocument, readHostDocument, writeHostDocument } from './document/document-file.ts';
import type { HostIdentity } from './document/host-file.ts';
import { Fabric, type FabricOutcome } from './fabric/fabric.ts';
import { diffMachines } from './machines/diff.ts';
import type { MachineDriver, MachineReport, PortPlace } from './machines/machine.ts';
import { NamespaceDriver } from './machines/namespace/namespace-driver.ts';
import type { RouterProgram } from './machines/namespace/router-process.ts';
import { namespaceDirectory } from './names.ts';
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
/** A guest boots at the latest this long, ms, after its ports are there, whether its router answers or not. */
const ROUTER_PATIENCE = 5_000;
const retry = { first: 500, longest: 15_000 };
const well: Outcome = { failures: [] };

export class HostAgent {
  readonly #options: HostAgentOptions;
  readonly #directory: string;
  readonly #controller: ControllerClient;
  readonly #doorbell: Doorbell;
  readonly #fabric: Fabric;
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
  /** What each machine was last run with, as text: a machine is run again only when that changes. */
  readonly #ran = new Map<string, string>();
  #reconciling: Promise<void> | null = null;
  #again = false;
  #thorough = true;
  #attempt = 0;
  #fetching = false;
  #fetchAgain = false;
  #timers = new Set<NodeJS.Timeout>();
  #settleTimer: NodeJS.Timeout | undefined;
  #statusTimer: NodeJS.Timeout | undefined;
  #watcher: FSWatcher | null = null;
  #closed = false;

  constructor(options: HostAgentOptions) {
    this.#options = options;
    const { identity, state, prefix, router } = options;
    this.#directory = join(state, 'host');
    mkdirSync(join(this.#directory, 'machines'), { recursive: true, mode: 0o700 });
    mkdirSync(join(this.#directory, 'routers'), { recursive: true, mode: 0o700 });
    this.#controller = new ControllerClient(identity.controller, identity.token);
    this.#routers = new Routers({
      directory: join(this.#directory, 'routers'),
      controller: this.#controller,
      eventFile: join(this.#directory, 'events.jsonl'),
      report: (report) => this.#report(report),
    });
    this.#fabric = new Fabric({ prefix, onChange: () => this.#kernelChanged() });
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
    this.#document = readHostDocument(join(this.#directory, 'document.json'), identity.id);
    this.#doorbell.open();
    this.#timers.add(setInterval(() => this.#poll(), POLL_EVERY));
    if (this.#document !== null) await this.#reconcile();
    mkdirSync(namespaceDirectory, { recursive: true });
    this.#watcher = watch(namespaceDirectory, (_event, name) => {
      if (name?.startsWith(`${this.#options.prefix}-`) === true) this.#kernelChanged();
    });
  }

  /** Ends the agent. Machines, bridges and rules stay as they are; the next start adopts them. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#settleTimer);
    clearTimeout(this.#statusTimer);
    this.#watcher?.close();
    this.#doorbell.close();
    await this.#reconciling;
    this.#routers.close();
    await this.#driver.close();
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
        // oxlint-disable-next-line no-await-in-loop
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
    this.#again = true;
    this.#reconciling ??= this.#applyAll().finally(() => {
      this.#reconciling = null;
    });
    return this.#reconciling;
  }

  async #applyAll(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      const document = this.#document;
      if (document === null) return;
      try {
        // oxlint-disable-next-line no-await-in-loop
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
  }

  async #apply(document: HostDocument): Promise<void> {
    const thorough = this.#thorough;
    this.#thorough = false;
    const present = await this.#driver.list();
    const { run, stop, remove } = diffMachines(present, document.machines);
    const failures: { subject: string; message: string }[] = [];
    const attempt = async (subject: string, step: () => Promise<void>): Promise<boolean> => {
      try {
        await step();
        return true;
      } catch (error) {
        failures.push({ subject, message: (error as Error).message });
        return false;
      }
    };
    const generations = this.#routerGenerations(document, present);
    const places = new Map<string, PortPlace>();
    for (const machine of run) {
      if (machine.kind === 'router') this.#routers.expect(machine.id);
      // oxlint-disable-next-line no-await-in-loop
      await attempt(machine.id, async () => {
        places.set(machine.id, await this.#driver.prepare(machine));
      });
    }
    // A machine without a place gets no ports this time; the rest of the document does not wait for it.
    const reachable: HostDocument = {
      ...document,
      machines: document.machines.filter((machine) => machine.state !== 'running' || places.has(machine.id)),
      ports: document.ports.filter((port) => isPlugged(document, places, port)),
      fdb: document.fdb.filter((entry) =>
        document.ports.some((port) => port.id === entry.port && isPlugged(document, places, port)),
      ),
    };
    const plugged = await this.#fabric.plug(reachable, (port) => places.get(port.machine) as PortPlace, {
      thorough,
    });
    const portsOf = Map.groupBy(document.ports, (port) => port.machine);
    for (const machine of run) {
      if (!places.has(machine.id)) continue;
      const ports = portsOf.get(machine.id) ?? [];
      if (machine.kind === 'router') this.#routers.plugged(machine.id);
      if (!this.#mustRun(machine, ports, plugged)) continue;
      // A machine that has to wait for its router holds up nobody.
      const isNew = !present.includes(machine.id);
      const boot = attempt(machine.id, async () => {
        if (machine.kind === 'guest' && isNew) await this.#routersOf(document, ports, await generations);
        if (this.#closed || !wants(this.#document, machine.id)) return;
        await this.#driver.run(machine, ports);
      });
      if (machine.kind === 'router') {
        // oxlint-disable-next-line no-await-in-loop
        await boot;
      } else void boot.then(() => this.#statusSoon());
    }
    await this.#end(stop, remove, attempt);
    const unplugged = await this.#fabric.unplug(reachable, plugged.removals);
    for (const [ids, trace] of [
      [stop, 'keep'],
      [remove, 'remove'],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop
      for (const id of ids) await attempt(id, () => this.#driver.clear(id, trace));
    }
    this.#conclude(document, plugged, unplugged, failures);
    await writeHostDocument(join(this.#directory, 'document.json'), document);
  }

  async #end(
    stop: readonly string[],
    remove: readonly string[],
    attempt: (subject: string, step: () => Promise<void>) => Promise<boolean>,
  ): Promise<void> {
    await Promise.all(
      [...stop, ...remove].map((id) => {
        this.#ran.delete(id);
        this.#routers.forget(id, remove.includes(id));
        return attempt(id, () => this.#driver.halt(id));
      }),
    );
  }

  /** Whether a machine has to be run (again): it is new, it changed, or one of its ports was made anew. */
  #mustRun(machine: Machine, ports: readonly SegmentPort[], plugged: FabricOutcome): boolean {
    const text = JSON.stringify([machine, ports]);
    const same = this.#ran.get(machine.id) === text && this.#driver.status(machine).state !== 'failed';
    this.#ran.set(machine.id, text);
    return !same || ports.some((port) => plugged.newPorts.has(port.id));
  }

  /** Generations of the routers as they stand now, asked for once when machines are about to be made. */
  async #routerGenerations(
    document: HostDocument,
    present: readonly string[],
  ): Promise<ReadonlyMap<string, number>> {
    const known = new Set(present);
    const news = document.machines.some((machine) => machine.kind === 'guest' && !known.has(machine.id));
    if (!news || !this.#doorbell.connected) return new Map();
    return await this.#routers.poll();
  }

  /** Resolves when the routers of a guest's segments have what is newest in force, or after the patience for that. */
  async #routersOf(
    document: HostDocument,
    ports: readonly SegmentPort[],
    generations: ReadonlyMap<string, number>,
  ): Promise<void> {
    const segments = new Set(ports.map((port) => port.segment));
    const routers = document.ports.filter((port) => port.role === 'router' && segments.has(port.segment));
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      Promise.all(
        routers.map((port) => this.#routers.applied(port.machine, generations.get(port.machine) ?? 1)),
      ),
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, ROUTER_PATIENCE);
      }),
    ]);
    clearTimeout(timer);
  }

  #conclude(
    document: HostDocument,
    plugged: FabricOutcome,
    unplugged: Pick<FabricOutcome, 'reasons' | 'failures' | 'securityFailure'>,
    machineFailures: readonly { readonly subject: string; readonly message: string }[],
  ): void {
    const security = plugged.securityFailure ?? unplugged.securityFailure;
    this.#outcomes = {
      fabric: { failures: [...plugged.failures, ...unplugged.failures] },
      security: { failures: security === null ? [] : [{ subject: document.id, message: security }] },
      machines: { failures: machineFailures },
    };
    const reasons = [...plugged.reasons, ...unplugged.reasons];
    if (reasons.length > 0 && this.#settled === document.generation) {
      this.#report({
        type: 'host.drift-healed',
        level: 'warning',
        subject: document.id,
        message: `Changed by somebody else and put right: ${reasons.join('; ')}`.slice(0, 2000),
      });
    }
    const failed = Object.values(this.#outcomes).some((outcome) => outcome.failures.length > 0);
    this.#settled = failed ? -1 : document.generation;
    if (!failed) this.#attempt = 0;
  }

  #retryIfNeeded(): void {
    if (this.#settled !== -1 || this.#closed) return;
    this.#attempt += 1;
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        void this.#reconcile();
      },
      backOffDelay(retry, this.#attempt, Math.random()),
    );
    this.#timers.add(timer);
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

const wants = (document: HostDocument | null, id: string): boolean =>
  document?.machines.some((machine) => machine.id === id && machine.state === 'running') === true;

/** Ports of machines that are switched off are left to the fabric, which does not want them either. */
const isPlugged = (
  document: HostDocument,
  places: ReadonlyMap<string, PortPlace>,
  port: SegmentPort,
): boolean => places.has(port.machine) || !wants(document, port.machine);
