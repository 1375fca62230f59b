/** What replacements of a router under load cost, and the load itself. */
import { percentile, type Row } from '../bench.ts';
import type { Load } from '../traffic/load.ts';
import type { TrafficReport } from '../traffic/report.ts';
import { startTraffic } from '../traffic/traffic.ts';
import type { TrafficMap } from '../traffic/traffic-map.ts';
import { verdict } from '../traffic/verdict.ts';

/** What one way of replacing a router cost. */
export interface Outcome {
  readonly lost: number;
  readonly doubled: number;
  readonly probes: number;
  readonly flowsBroken: number;
  readonly flows: number;
  readonly sessionsCut: number;
  readonly sessions: number;
  readonly connectionsFailed: number;
  /** Of these, those that end in no router: through source NAT and port forwards. */
  readonly translatedFailed: number;
  readonly connections: number;
  readonly namesUnanswered: number;
  readonly names: number;
  /** ms of each replacement, from the request until traffic is on the new router. */
  readonly times: readonly number[];
}

const sum = <Item>(items: readonly Item[], value: (item: Item) => number): number =>
  items.reduce((total, item) => total + value(item), 0);

export const outcomeOf = (report: TrafficReport, times: readonly number[]): Outcome => {
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
    translatedFailed: sum(report.connections, ({ way, failed }) => (way === 'load-balancer' ? 0 : failed)),
    connections: sum(report.connections, ({ started }) => started),
    namesUnanswered: sum(report.dns, ({ unanswered }) => unanswered),
    names: sum(report.dns, ({ asked }) => asked),
    times,
  };
};

const BREATH = 1000;
export const breath = (): Promise<void> => new Promise((done) => setTimeout(done, BREATH));

/** Runs the load while `act` happens `count` times, with a breath before, between and after. */
export const underLoad = async (
  map: TrafficMap,
  load: Load,
  count: number,
  act: (round: number) => Promise<void>,
  tell: (message: string) => void,
): Promise<Outcome> => {
  await using traffic = await startTraffic({ maps: [map], load });
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

/** Rows of an outcome. With `reach`, everything that is lost is a failure. */
export const outcomeRows = (name: string, outcome: Outcome, reach: boolean): Row[] => {
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

/** A row of something that must go wrong: a load that does not notice proves nothing. */
export const controlRow = (name: string, value: number, unit: string): Row => ({
  name: `control: ${name}`,
  value,
  unit,
  reach: '> 0',
  met: value > 0,
});
