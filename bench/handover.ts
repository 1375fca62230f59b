/**
 * Replacements of a router under full load: what is lost, doubled, broken, cut, failed. Held against what others do
 * (destroy, then create) and against our own mechanism with its parts taken away, which must show losses.
 */
import { namespaces } from 'node-netlink';
import type { Resource } from '../cli/client.ts';
import { startTestStack, type TestStack } from '../test/system/stack.ts';
import { type Bench, percentile, type Row } from './bench.ts';
import { FULL_LOAD, type Load } from './traffic/load.ts';
import { type PreparedTraffic, prepareTraffic } from './traffic/prepare-traffic.ts';
import type { TrafficReport } from './traffic/report.ts';
import { startTraffic } from './traffic/traffic.ts';
import { verdict } from './traffic/verdict.ts';

/** What one way of replacing a router cost. */
interface Outcome {
  readonly lost: number;
  readonly doubled: number;
  readonly probes: number;
  readonly flowsBroken: number;
  readonly flows: number;
  readonly sessionsCut: number;
  readonly sessions: number;
  readonly connectionsFailed: number;
  readonly connections: number;
  readonly namesUnanswered: number;
  readonly names: number;
  /** ms of each replacement, from the request until traffic is on the new router. */
  readonly times: readonly number[];
}

const sum = <Item>(items: readonly Item[], value: (item: Item) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

const outcomeOf = (report: TrafficReport, times: readonly number[]): Outcome => {
  const ended = report.flows.filter(({ way }) => way === 'load-balancer');
  const passed = report.flows.filter(({ way }) => way !== 'load-balancer');
  return {
    lost: sum(report.probes, ({ lost }) => lost),
    doubled: sum(report.probes, ({ doubled }) => doubled),
    probes: sum(report.probes, ({ sent }) => sent),
    flowsBroken: sum(passed, ({ broken }) => broken),
    flows: sum(passed, ({ flows }) => flows),
    sessionsCut: sum(ended, ({ broken }) => broken),
    sessions: sum(ended, ({ flows }) => flows),
    connectionsFailed: sum(report.connections, ({ failed }) => failed),
    connections: sum(report.connections, ({ started }) => started),
    namesUnanswered: sum(report.dns, ({ unanswered }) => unanswered),
    names: sum(report.dns, ({ asked }) => asked),
    times,
  };
};

const activeRouter = async (stack: TestStack, network: Resource): Promise<string> =>
  String((await stack.client().get(`/v1/networks/${network.id}`))['router']);

/** Runs the load while `act` happens `count` times, with a breath before, between and after. */
const underLoad = async (
  prepared: PreparedTraffic,
  load: Load,
  count: number,
  act: (round: number) => Promise<void>,
  tell: (message: string) => void,
): Promise<Outcome> => {
  await using traffic = await startTraffic({ maps: [prepared.map], load });
  const times: number[] = [];
  await breath();
  for (let round = 0; round < count; round += 1) {
    const started = performance.now();
    await act(round);
    times.push(performance.now() - started);
    await breath();
  }
  const report = await traffic.stop();
  const { failures, remarks } = verdict(report);
  for (const { text } of failures) tell(text);
  for (const { text } of remarks.slice(0, 4)) tell(`(${text})`);
  return outcomeOf(report, times);
};

const BREATH = 1000;
const breath = (): Promise<void> => new Promise((done) => setTimeout(done, BREATH));

const replace = async (
  stack: TestStack,
  network: Resource,
  options: Readonly<Record<string, unknown>>,
): Promise<void> => {
  const started = await stack
    .client()
    .post<Resource>(`/v1/routers/${await activeRouter(stack, network)}/replace`, options);
  if (typeof started.operation === 'string') await stack.client().wait(started.operation, () => {});
};

const rowsOf = (name: string, outcome: Outcome, reach: boolean): Row[] => {
  const zero = (what: string, value: number, of: number, unit: string): Row => ({
    name: `${name}: ${what} of ${of}`,
    value,
    unit,
    ...(reach ? { reach: '0' } : {}),
    met: !reach || value === 0,
  });
  return [
    zero('probes lost', outcome.lost, outcome.probes, 'probes'),
    zero('probes doubled', outcome.doubled, outcome.probes, 'probes'),
    zero('long flows broken', outcome.flowsBroken, outcome.flows, 'flows'),
    zero('haproxy sessions cut', outcome.sessionsCut, outcome.sessions, 'sessions'),
    zero('new connections failed', outcome.connectionsFailed, outcome.connections, 'connections'),
    zero('names unanswered', outcome.namesUnanswered, outcome.names, 'queries'),
    { name: `${name}: time of one, p50`, value: percentile(outcome.times, 0.5), unit: 'ms', met: true },
  ];
};

export const bench: Bench = {
  name: 'handover',
  description:
    'replacements of a router under full load: what is lost, against destroy-then-create and against the mechanism without its parts',
  run: async ({ runs, tell }) => {
    const count = runs ?? 20;
    const few = Math.min(count, 3);
    const stack = await startTestStack(`svh${process.pid}`);
    const drainDeadline = 0;
    try {
      const prepared = await prepareTraffic(stack);
      const { network } = prepared;
      tell(`ours: ${count} replacements in a row`);
      const ours = await underLoad(
        prepared,
        FULL_LOAD,
        count,
        () => replace(stack, network, { drainDeadline: null }),
        tell,
      );

      tell('against: destroy, then create');
      const destroyed = await underLoad(
        prepared,
        FULL_LOAD,
        few,
        async () => {
          const router = await activeRouter(stack, network);
          // The machine is gone with all it held; the host agent builds it again from its document.
          namespaces.remove(`${stack.prefix}-${router}`);
          const deadline = performance.now() + 20_000;
          while (performance.now() < deadline) {
            const { exitCode } = await stack.run(router, [
              '/usr/sbin/nft',
              'list',
              'table',
              'inet',
              'selvage',
            ]);
            if (exitCode === 0) return;
            await new Promise((done) => setTimeout(done, 20));
          }
        },
        tell,
      );
      tell('control: the MACs are moved, no connection is copied, nothing is passed on');
      const bare = await underLoad(
        prepared,
        FULL_LOAD,
        few,
        () => replace(stack, network, { drainDeadline, without: ['copy', 'steering'] }),
        tell,
      );
      tell('control: connections are copied, nothing is passed on');
      const copied = await underLoad(
        prepared,
        FULL_LOAD,
        few,
        () => replace(stack, network, { drainDeadline, without: ['steering'] }),
        tell,
      );
      return [
        ...rowsOf(`${count} replacements`, ours, true),
        ...rowsOf(`${few} times destroy, then create`, destroyed, false),
        ...rowsOf(`${few} flips without state`, bare, false),
        ...rowsOf(`${few} flips with a copy, without steering`, copied, false),
        {
          name: 'control: a flip without state breaks haproxy sessions',
          value: bare.sessionsCut,
          unit: 'sessions',
          reach: '> 0',
          met: bare.sessionsCut > 0,
        },
        {
          name: 'control: a copy without steering fails connections',
          value: copied.connectionsFailed + copied.sessionsCut,
          unit: 'connections',
          reach: '> 0',
          met: copied.connectionsFailed + copied.sessionsCut > 0,
        },
      ];
    } finally {
      await stack.destroy();
    }
  },
};
