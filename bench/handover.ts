/**
 * Replacements of a router under full load: what is lost, doubled, broken, cut, failed. Held against what others do
 * (destroy, then create) and against our own without the wait for sessions; both must show losses. What happens without
 * steering or without the copy is shown by the tests of router/handover, which can take them away.
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

/**
 * A chain has at most six routers, and sessions that end in a router keep it in the chain: so many replacements fit under
 * one load whose sessions never end. Between two loads the old routers go.
 */
const IN_A_ROW = 4;

const chainIsShort = async (stack: TestStack): Promise<void> => {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    if ((await stack.client().list('/v1/routers')).length === 1) return;
    await breath();
  }
  throw new Error('old routers did not go after their sessions had ended');
};

const together = (outcomes: readonly Outcome[]): Outcome => ({
  lost: sum(outcomes, ({ lost }) => lost),
  doubled: sum(outcomes, ({ doubled }) => doubled),
  probes: sum(outcomes, ({ probes }) => probes),
  flowsBroken: sum(outcomes, ({ flowsBroken }) => flowsBroken),
  flows: sum(outcomes, ({ flows }) => flows),
  sessionsCut: sum(outcomes, ({ sessionsCut }) => sessionsCut),
  sessions: sum(outcomes, ({ sessions }) => sessions),
  connectionsFailed: sum(outcomes, ({ connectionsFailed }) => connectionsFailed),
  connections: sum(outcomes, ({ connections }) => connections),
  namesUnanswered: sum(outcomes, ({ namesUnanswered }) => namesUnanswered),
  names: sum(outcomes, ({ names }) => names),
  times: outcomes.flatMap(({ times }) => times),
});

/** Takes the router's machine away with all it held; the host agent builds it again from its document. */
const destroyAndCreate = async (stack: TestStack, network: Resource): Promise<void> => {
  const router = await activeRouter(stack, network);
  namespaces.remove(`${stack.prefix}-${router}`);
  const deadline = performance.now() + 20_000;
  while (performance.now() < deadline) {
    const { exitCode } = await stack.run(router, ['/usr/sbin/nft', 'list', 'table', 'inet', 'selvage']);
    if (exitCode === 0) return;
    await new Promise((done) => setTimeout(done, 20));
  }
};

export const bench: Bench = {
  name: 'handover',
  description:
    'replacements of a router under full load: what is lost, against destroy-then-create and against cutting the old one off',
  run: async ({ runs, tell }) => {
    const count = runs ?? 20;
    const few = Math.min(count, 3);
    const stack = await startTestStack(`svh${process.pid}`);
    try {
      const prepared = await prepareTraffic(stack);
      const { network } = prepared;
      const parts: Outcome[] = [];
      for (let left = count; left > 0; left -= IN_A_ROW) {
        const block = Math.min(left, IN_A_ROW);
        tell(`ours: ${block} replacements in a row, ${left - block} to come`);
        parts.push(
          await underLoad(
            prepared,
            FULL_LOAD,
            block,
            () => replace(stack, network, { drainDeadline: null }),
            tell,
          ),
        );
        await chainIsShort(stack);
      }
      tell('against: destroy, then create');
      const destroyed = await underLoad(
        prepared,
        FULL_LOAD,
        few,
        () => destroyAndCreate(stack, network),
        tell,
      );
      tell('control: the old router goes at once, whoever is still in it');
      const hasty = await underLoad(
        prepared,
        FULL_LOAD,
        few,
        () => replace(stack, network, { drainDeadline: 0 }),
        tell,
      );
      return [
        ...rowsOf(`${count} replacements`, together(parts), true),
        ...rowsOf(`${few} times destroy, then create`, destroyed, false),
        ...rowsOf(`${few} replacements that do not wait for sessions`, hasty, false),
        {
          name: 'control: destroy, then create loses probes',
          value: destroyed.lost,
          unit: 'probes',
          reach: '> 0',
          met: destroyed.lost > 0,
        },
        {
          name: 'control: not waiting cuts haproxy sessions',
          value: hasty.sessionsCut,
          unit: 'sessions',
          reach: '> 0',
          met: hasty.sessionsCut > 0,
        },
      ];
    } finally {
      await stack.destroy();
    }
  },
};
