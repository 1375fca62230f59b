/**
 * Load that notices. Real packets between real namespaces, through a router that is being replaced, patched or killed
 * meanwhile: every probe numbered, every byte of a flow compared, every connection followed to its end. What is not zero
 * in the end was lost on the way, and not here: a program that was kept from running says so (stalls, skipped slots,
 * overflown sockets) instead of bursting or blaming the network.
 *
 * ```text
 *      internet                            router                             guests
 *  ┌─────────────────┐               ┌──────────────────┐             ┌─────────────────────┐
 *  │ server  ◀───────┼───────────────┼── source NAT ◀───┼─────────────┼── client     client │
 *  │  TCP/UDP echo   │               │                  │             │  ICMP, UDP probes   │
 *  │  bulk sink      │               │  DNS, DHCP  ◀────┼─────────────┼── long flows, new   │
 *  │                 │               │                  │             │  connections, bulk  │
 *  │ client          │               │                  │             ├─────────────────────┤
 *  │  ICMP, UDP ─────┼───────────────┼─▶ static NAT ────┼────────────▶│ server     server 1 │
 *  │  probes, flows  │               │                  │             ├─────────────────────┤
 *  │  flows, new ────┼───────────────┼─▶ port forward ──┼────────────▶│ server   server 2-5 │
 *  │  connections    │               │                  │             │  TCP/UDP echo       │
 *  │  flows, new ────┼───────────────┼─▶ haproxy ───────┼────────────▶│                     │
 *  │  connections    │               └──────────────────┘             └─────────────────────┘
 *  └─────────────────┘
 * ```
 *
 * One client and one server program a namespace, whatever they send. Nothing begins before everything works once.
 */
import { readFileSync } from 'node:fs';
import type { Load } from './load.ts';
import { planWorkers } from './plan-workers.ts';
import type { JobReport, TrafficReport } from './report.ts';
import type { TrafficMap } from './traffic-map.ts';
import { WorkerProcess } from './worker-process.ts';

export interface TrafficOptions {
  /** The networks under load; the places of one are enough, and `prepareTraffic` makes them. */
  readonly maps: readonly TrafficMap[];
  readonly load: Load;
}

export interface Traffic {
  /** What was seen so far. Throws when one of the programs is gone. */
  readonly snapshot: () => Promise<TrafficReport>;
  /** Ends the load, waits for what is outstanding, and ends the programs. The same report when called again. */
  readonly stop: () => Promise<TrafficReport>;
  /** Ends the programs at once; nothing is reported. After stop() it only waits for that. */
  readonly abandon: () => Promise<void>;
  readonly [Symbol.asyncDispose]: () => Promise<void>;
}

/** Second column of each processor: packets that found the backlog full. */
const backlogDrops = (): number =>
  readFileSync('/proc/net/softnet_stat', 'utf8')
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number.parseInt(line.split(/\s+/)[1] ?? '0', 16), 0);

const of = <K extends JobReport['kind']>(
  jobs: readonly JobReport[],
  kind: K,
): Extract<JobReport, { kind: K }>[] =>
  jobs.filter((job): job is Extract<JobReport, { kind: K }> => job.kind === kind);

/**
 * Starts the programs, waits until all they are to do works once, and begins. Throws Error when a namespace or a way does
 * not work within 20 s; then nothing is left running.
 */
export const startTraffic = async ({ maps, load }: TrafficOptions): Promise<Traffic> => {
  const planned = planWorkers(maps, load);
  const workers: WorkerProcess[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.close()));
  };
  try {
    for (const role of ['server', 'client'] as const)
      await Promise.all(
        planned
          .filter((plan) => plan.role === role)
          .map(({ namespace, jobs }) => {
            const worker = new WorkerProcess(namespace, role);
            workers.push(worker);
            return worker.order({ type: 'open', jobs });
          }),
      );
    // Servers first: their counters begin before anybody counts on them.
    for (const role of ['server', 'client'] as const)
      await Promise.all(
        workers.filter((worker) => worker.role === role).map((worker) => worker.order({ type: 'begin' })),
      );
  } catch (error) {
    await close();
    throw error;
  }
  const begunAt = performance.now();
  const dropsBefore = backlogDrops();

  const gather = async (type: 'snapshot' | 'end', duration: number): Promise<TrafficReport> => {
    const answers: { worker: WorkerProcess; report: Awaited<ReturnType<WorkerProcess['order']>> }[] = [];
    // Clients end first: they need the servers for what is outstanding.
    for (const role of ['server', 'client'] as const)
      answers.push(
        ...(await Promise.all(
          workers
            .filter((worker) => (worker.role === role) === (type === 'snapshot'))
            .map(async (worker) => ({ worker, report: await worker.order({ type }) })),
        )),
      );
    const jobs = answers.flatMap(({ report }) => report?.jobs ?? []);
    const queries = [...of(jobs, 'dns'), ...of(jobs, 'dhcp')];
    return {
      duration: Math.round(duration),
      probes: of(jobs, 'probe'),
      flows: of(jobs, 'flows'),
      connections: of(jobs, 'connections'),
      bulk: of(jobs, 'bulk'),
      dns: queries.filter(({ kind }) => kind === 'dns'),
      dhcp: queries.filter(({ kind }) => kind === 'dhcp'),
      processes: answers.flatMap(({ worker, report }) =>
        report === null ? [] : [{ namespace: worker.namespace, role: worker.role, ...report.process }],
      ),
      backlogDrops: backlogDrops() - dropsBefore,
    };
  };

  let stopped: Promise<TrafficReport> | undefined;
  const abandon = async (): Promise<void> => {
    // Whoever called stop() hears of its errors.
    if (stopped === undefined) await close();
    else await stopped.catch(() => {});
  };
  return {
    snapshot: () => gather('snapshot', performance.now() - begunAt),
    stop: () => {
      stopped ??= gather('end', performance.now() - begunAt).finally(close);
      return stopped;
    },
    abandon,
    [Symbol.asyncDispose]: abandon,
  };
};
