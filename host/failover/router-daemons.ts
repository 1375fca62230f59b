/** Looks after the daemons of routers: those that hang are started anew, and of those that are sick the status tells. */
import type { Machine, MachineStatus } from 'documents';
import type { MachineReport } from '../machines/machine.ts';
import { DaemonHealth } from './daemon-health.ts';

export interface RouterDaemonsOptions {
  /** Ends the daemon, so that it is started anew; false when no such router runs here. */
  readonly restart: (router: string) => boolean;
  /** Resolves when a daemon listens that is started after this call; undefined when there is no such router here. */
  readonly listensAnew: (router: string) => Promise<void> | undefined;
  readonly report: (report: MachineReport) => void;
  /** What is thought of a daemon may be another. */
  readonly onChange: () => void;
}

/** ms within which a daemon that was asked to start anew has to listen. */
const RESTART_PATIENCE = 5000;
/** ms for which one that was started anew for its silence, and does not listen yet, keeps others from the same. */
const ONE_AT_A_TIME = 15_000;

export class RouterDaemons {
  readonly #options: RouterDaemonsOptions;
  readonly #health = new DaemonHealth();
  /** Started anew for its silence, and not listening yet; null when there is none. */
  #awaited: { readonly router: string; readonly until: number } | null = null;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RouterDaemonsOptions) {
    this.#options = options;
  }

  ended(router: string): void {
    this.#health.ended(router, performance.now());
    this.#changed();
  }

  listens(router: string): void {
    if (this.#awaited?.router === router) this.#awaited = null;
    this.#health.listens(router, performance.now());
    this.#changed();
  }

  /**
   * It runs and has answered nothing for so long: it is started anew. The kernel forwards on meanwhile. False when it has to
   * wait for another one that is: a host that is short of something has many, and starting all of them makes it worse.
   */
  silent(router: string, seconds: number): boolean {
    const { report, restart } = this.#options;
    const now = performance.now();
    const awaited = this.#awaited;
    if (awaited !== null && awaited.router !== router && now < awaited.until) return false;
    if (!restart(router)) return false;
    this.#awaited = { router, until: now + ONE_AT_A_TIME };
    this.#health.restarted(router, now);
    this.#changed();
    const message = `The daemon of ${router} runs but answered nothing for ${seconds} s; it is started anew`;
    report({ type: 'host.router-unresponsive', level: 'warning', subject: router, message });
    return true;
  }

  /** Starts it anew; resolves to whether the new one listens within 5 s. undefined when there is no such router here. */
  restart(router: string): Promise<boolean> | undefined {
    const listens = this.#options.listensAnew(router);
    if (listens === undefined || !this.#options.restart(router)) return undefined;
    this.#health.restarted(router, performance.now());
    this.#changed();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), RESTART_PATIENCE);
    });
    return Promise.race([listens.then(() => true), late]).finally(() => clearTimeout(timer));
  }

  /** A router whose daemon is sick goes on forwarding, but is not what it should be. */
  statusOf(machine: Machine, status: MachineStatus): MachineStatus {
    const sickness = machine.kind === 'router' ? this.#health.sickness(machine.id, performance.now()) : null;
    return sickness === null ? status : { ...status, state: 'failed', message: sickness };
  }

  /** Forgets all routers but these. */
  keep(routers: ReadonlySet<string>): void {
    this.#health.keep(routers);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Tells now, and again when time alone may have changed it. */
  #changed(): void {
    clearTimeout(this.#timer);
    this.#options.onChange();
    const next = this.#health.nextLook(performance.now());
    if (next !== null && !this.#closed) this.#timer = setTimeout(() => this.#changed(), next + 1);
  }
}
