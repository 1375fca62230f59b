/**
 * The program that runs inside a namespace: does the jobs it is given, answers orders (protocol.ts), and ends when its
 * standard input does, so that nothing of it outlives the one that started it. Its priority is that of everybody: load
 * that outranks what it measures would starve it.
 */
import { createInterface } from 'node:readline';
import { bulk } from './jobs/bulk.ts';
import { connections } from './jobs/connections.ts';
import { dhcp } from './jobs/dhcp.ts';
import { dns } from './jobs/dns.ts';
import { flows } from './jobs/flows.ts';
import type { Job, JobSpec } from './jobs/job.ts';
import { probe } from './jobs/probe.ts';
import { serve } from './jobs/serve.ts';
import { type NamespaceCounters, namespaceCounters } from './namespace-counters.ts';
import { Pacer } from './pacer.ts';
import type { Answer, Order, WorkerReport } from './protocol.ts';

const jobFor = (spec: JobSpec): Job => {
  switch (spec.kind) {
    case 'serve':
      return serve(spec);
    case 'probe':
      return probe(spec);
    case 'flows':
      return flows(spec);
    case 'connections':
      return connections(spec);
    case 'bulk':
      return bulk(spec);
    case 'dns':
      return dns(spec);
    case 'dhcp':
      return dhcp(spec);
  }
};

let jobs: readonly Job[] = [];
let pacer: Pacer | undefined;
let before: NamespaceCounters = { udpOverflows: 0, icmpOverflows: 0, listenOverflows: 0 };
let cpuBefore = process.cpuUsage();

const report = (): WorkerReport => {
  const { user, system } = process.cpuUsage(cpuBefore);
  const now = namespaceCounters();
  return {
    jobs: jobs.map((job) => job.report()),
    process: {
      pid: process.pid,
      stalls: pacer?.stalls() ?? { count: 0, longest: 0 },
      cpu: Math.round((user + system) / 1000),
      udpOverflows: now.udpOverflows - before.udpOverflows,
      icmpOverflows: now.icmpOverflows - before.icmpOverflows,
      listenOverflows: now.listenOverflows - before.listenOverflows,
    },
  };
};

const obey = async (order: Order): Promise<WorkerReport | null> => {
  switch (order.type) {
    case 'open':
      jobs = order.jobs.map(jobFor);
      await Promise.all(jobs.map((job) => job.open()));
      return null;
    case 'begin': {
      // Servers send nothing of themselves: they need the clock for their own stalls only.
      const paced = new Pacer(
        order.type === 'begin' && jobs.some((job) => job.report().kind !== 'serve') ? 1 : 10,
      );
      pacer = paced;
      before = namespaceCounters();
      cpuBefore = process.cpuUsage();
      for (const job of jobs) job.begin(paced);
      return null;
    }
    case 'snapshot':
      return report();
    case 'end':
      await Promise.all(jobs.map((job) => job.end()));
      return report();
  }
};

const say = (answer: Answer): void => {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
};

let last: Promise<void> = Promise.resolve();
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const order = JSON.parse(line) as Order;
    last = last.then(async () => {
      try {
        say({ type: 'done', report: await obey(order) });
      } catch (error) {
        say({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
      }
    });
  })
  .on('close', () => {
    for (const job of jobs) job.close();
    process.exit(0);
  });
