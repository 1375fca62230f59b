/**
 * One upgrade run over many networks, a fresh router for each, all of them measured through twice: by the run's own probes
 * and by ours. Held against one router after the other.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { namespaces } from 'node-netlink';
import type { Resource } from '../cli/client.ts';
import { INTERNET, LAB_SERVER } from '../cli/lab/up.ts';
import { startTestStack, type TestStack } from '../test/system/stack.ts';
import { type Bench, type Row } from './bench.ts';
import { controlRow, othersRow, outcomeOf, type Outcome } from './handovers/outcome.ts';
import type { Load } from './traffic/load.ts';
import { startTraffic } from './traffic/traffic.ts';
import type { TrafficMap } from './traffic/traffic-map.ts';
import { verdict } from './traffic/verdict.ts';

/** From every network: datagrams of both kinds, and names. */
const LOAD: Load = {
  icmp: { rate: 20, directions: ['out'] },
  udp: { rate: 20, directions: ['out'] },
  dns: { rate: 2 },
};
const AT_ONCE = 4;
/** Seconds that one router after the other takes each, probes before and after included. */
const ONE = 12;
const PATIENCE = 20 * 60_000;

interface Place {
  readonly network: string;
  readonly map: TrafficMap;
}

const makePlace = async (stack: TestStack, number: number): Promise<Place> => {
  const name = `upgrade-${number}`;
  const network = await stack.create('/v1/networks', { name, offering: 'isolated-egress-allow' });
  const guest = await stack.create('/v1/instances', { name: `${name}-guest`, network: network.id });
  const running = await stack.client().get<Resource>(`/v1/networks/${network.id}`);
  const namespace = (machine: string): string => `${stack.prefix}-${machine}`;
  return {
    network: network.id,
    map: {
      label: name,
      internet: { namespace: namespace(INTERNET), address: LAB_SERVER },
      client: { namespace: namespace(guest.id), address: String(guest['address']) },
      // Nothing is sent inwards.
      servers: [],
      staticNat: LAB_SERVER,
      portForwards: [],
      loadBalancer: { address: LAB_SERVER, port: 1 },
      router: String(running['gateway']),
      names: [
        { name: `${String(guest['name'])}.${String(running['domain'])}`, address: String(guest['address']) },
      ],
      outside: { domain: 'example.com', address: LAB_SERVER },
    },
  };
};

const makePlaces = async (stack: TestStack, count: number): Promise<readonly Place[]> => {
  const places: Place[] = [];
  for (let first = 1; first <= count; first += AT_ONCE)
    places.push(
      ...(await Promise.all(
        Array.from({ length: Math.min(AT_ONCE, count - first + 1) }, (_, index) =>
          makePlace(stack, first + index),
        ),
      )),
    );
  return places;
};

interface RunResult {
  readonly status: string;
  /** ms. */
  readonly wall: number;
  /** By the run's own probes. */
  readonly lost: number;
  readonly sent: number;
  readonly passed: number;
  readonly why: string;
}

interface RunRouter {
  readonly state: string;
  readonly lost: number | null;
  readonly sent: number | null;
  readonly reasons: readonly string[];
}

/** A fresh router for each of these networks; resolves when every one is judged. */
const upgrade = async (
  stack: TestStack,
  options: Readonly<Record<string, unknown>>,
  tell: (message: string) => void,
): Promise<RunResult> => {
  const client = stack.client();
  const started = performance.now();
  const { id } = await client.post<Resource>('/v1/upgrade-runs', { method: 'replace', ...options });
  let told = '';
  for (;;) {
    const run = await client.get<Resource>(`/v1/upgrade-runs/${id}`);
    const status = String(run['status']);
    const routers = run['routers'] as readonly RunRouter[];
    const { done, total } = run['progress'] as { readonly done: number; readonly total: number };
    if (`${status} ${done}` !== told) tell(`${status}: ${done} of ${total}`);
    told = `${status} ${done}`;
    const wall = performance.now() - started;
    if (!['running', 'paused', 'aborting'].includes(status))
      return {
        status,
        wall,
        lost: routers.reduce((sum, { lost }) => sum + (lost ?? 0), 0),
        sent: routers.reduce((sum, { sent }) => sum + (sent ?? 0), 0),
        passed: routers.filter(({ state }) => state === 'passed').length,
        why: routers.flatMap(({ reasons }) => reasons).join('; '),
      };
    if (wall > PATIENCE) throw new Error(`The run ${id} does not end: ${JSON.stringify(run['progress'])}`);
    await sleep(250);
  }
};

/** Waits until no replaced router is left. */
const whenAlone = async (stack: TestStack, networks: number): Promise<void> => {
  const deadline = performance.now() + 120_000;
  while ((await stack.client().list('/v1/routers')).length > networks) {
    if (performance.now() > deadline) throw new Error('replaced routers do not go');
    await sleep(500);
  }
};

const underLoad = async <Result>(
  places: readonly Place[],
  act: () => Promise<Result>,
  tell: (message: string) => void,
): Promise<{ readonly result: Result; readonly outcome: Outcome }> => {
  await using traffic = await startTraffic({ maps: places.map(({ map }) => map), load: LOAD });
  await sleep(1000);
  const result = await act();
  await sleep(1000);
  const report = await traffic.stop();
  const { failures, remarks } = verdict(report);
  for (const { text } of [...failures.slice(0, 6), ...remarks.slice(0, 4)]) tell(text);
  return { result, outcome: outcomeOf(report, []) };
};

export const bench: Bench = {
  name: 'upgrade',
  description: 'one upgrade run over 20 networks under probes: what is lost, and how long it takes',
  run: async ({ runs, tell }): Promise<Row[]> => {
    const count = runs ?? 20;
    const stack = await startTestStack(`svu${process.pid}`);
    try {
      tell(`${count} networks are made`);
      const places = await makePlaces(stack, count);
      const [first] = places;
      if (first === undefined) return [];
      tell(`one run over ${count} networks`);
      const whole = await underLoad(
        places,
        () => upgrade(stack, { name: 'all', canaries: 1, batch: count, perHost: count }, tell),
        tell,
      );
      await whenAlone(stack, count);
      tell(`against: one after the other, some ${Math.ceil((count * ONE) / 60)} minutes`);
      const alone = await underLoad(
        places,
        () => upgrade(stack, { name: 'one by one', canaries: 1, batch: 1, perHost: 1 }, tell),
        tell,
      );
      await whenAlone(stack, count);
      tell('control: the machine of one router is taken away');
      const router = String((await stack.client().get<Resource>(`/v1/networks/${first.network}`))['router']);
      const cut = await underLoad(
        [first],
        async () => {
          namespaces.remove(`${stack.prefix}-${router}`);
          await sleep(5000);
        },
        tell,
      );
      const { result, outcome } = whole;
      const lost = outcome.lost + outcome.namesUnanswered;
      const share = result.wall / alone.result.wall;
      if (result.why !== '') tell(result.why);
      return [
        {
          name: `routers upgraded, of ${count} (the run ${result.status})`,
          value: result.passed,
          unit: 'routers',
          reach: `${count}`,
          met: result.passed === count,
        },
        {
          name: `lost, of ${outcome.probes} probes and ${outcome.names} names of ours`,
          value: lost,
          unit: 'packets',
          reach: '0',
          met: lost === 0,
        },
        {
          name: 'answers that came twice',
          value: outcome.doubled,
          unit: 'packets',
          reach: '0',
          met: outcome.doubled === 0,
        },
        othersRow(`run over ${count} networks`, outcome, true),
        {
          name: `lost, of ${result.sent} by the run's own probes`,
          value: result.lost,
          unit: 'packets',
          reach: '0',
          met: result.lost === 0 && result.sent > 0,
        },
        {
          name: `wall time of the run over ${count} networks`,
          value: result.wall / 1000,
          unit: 's',
          against: `one after the other, ${alone.result.passed} upgraded`,
          other: alone.result.wall / 1000,
          ratio: share,
          reach: '<= 1/5',
          met: share <= 1 / 5 && alone.result.passed === count,
        },
        {
          name: 'one after the other: lost',
          value: alone.outcome.lost + alone.outcome.namesUnanswered,
          unit: 'packets',
          met: true,
        },
        controlRow('a router taken away loses probes', cut.outcome.lost, 'packets'),
      ];
    } finally {
      await stack.destroy();
    }
  },
};
