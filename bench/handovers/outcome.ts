/** What replacements of a router under load cost, and the load itself. */
import { percentile, type Row } from '../bench.ts';
import type { Load } from '../traffic/load.ts';
import { type Loss, momentsOfLoss } from '../traffic/moments.ts';
import type { TrafficReport } from '../traffic/report.ts';
import { progressLine } from '../traffic/totals.ts';
import { startTraffic } from '../traffic/traffic.ts';
import type { TrafficMap } from '../traffic/traffic-map.ts';
import { type Finding, verdict } from '../traffic/verdict.ts';

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
  /** Of all, those whose handshake had to be sent again. */
  readonly connectionsSlow: number;
  readonly connections: number;
  readonly namesUnanswered: number;
  readonly names: number;
  readonly leasesUnanswered: number;
  readonly leases: number;
  /** All that went wrong besides: flows that stay down, connections left open, the bulk flow, wrong answers ... */
  readonly others: readonly Finding[];
  /** ms of each replacement, from the request until traffic is on the new router. */
  readonly times: readonly number[];
}

/** What has a number of its own in an outcome. */
const COUNTED: ReadonlySet<string> = new Set([
  'probes lost',
  'probes doubled',
  'flows broken',
  'connections failed',
  'connections slow',
  'dns unanswered',
  'dhcp unanswered',
]);

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
    connectionsSlow: sum(report.connections, ({ slow }) => slow),
    connections: sum(report.connections, ({ started }) => started),
    namesUnanswered: sum(report.dns, ({ unanswered }) => unanswered),
    names: sum(report.dns, ({ asked }) => asked),
    leasesUnanswered: sum(report.dhcp, ({ unanswered }) => unanswered),
    leases: sum(report.dhcp, ({ asked }) => asked),
    others: verdict(report).failures.filter(({ kind, what }) => !COUNTED.has(`${kind} ${what}`)),
    times,
  };
};

const BREATH = 1000;
export const breath = (): Promise<void> => new Promise((done) => setTimeout(done, BREATH));

/** So many losses are told with their time. */
const TOLD = 10;

/** The moments of a loss, each with the round it fell into. `rounds`: when each began, ms since the load began. */
const tellMoments = (
  losses: readonly Loss[],
  rounds: readonly number[],
  tell: (message: string) => void,
): void => {
  for (const { at, of, what, times } of losses.slice(0, TOLD)) {
    const round = rounds.findLastIndex((began) => began <= at);
    const into = round < 0 ? 'before 1' : `${at - Math.round(rounds[round] ?? 0)} ms into ${round + 1}`;
    tell(`at ${(at / 1000).toFixed(3)} s, ${into}: ${of}: ${what}${times === 1 ? '' : `, ${times} times`}`);
  }
  if (losses.length > TOLD) tell(`and ${losses.length - TOLD} moments more`);
};

/** Tells of so many rounds at once what was lost until then. */
const ROUNDS = 10;

/** Runs the load while `act` happens `count` times, with a breath before, between and after. */
export const underLoad = async (
  map: TrafficMap,
  load: Load,
  count: number,
  act: (round: number) => Promise<void>,
  tell: (message: string) => void,
): Promise<Outcome> => {
  await using traffic = await startTraffic({ maps: [map], load });
  const began = performance.now();
  const rounds: number[] = [];
  const times: number[] = [];
  await breath();
  for (let round = 0; round < count; round += 1) {
    const started = performance.now();
    rounds.push(started - began);
    await act(round);
    times.push(performance.now() - started);
    await breath();
    if ((round + 1) % ROUNDS === 0)
      tell(`${round + 1} of ${count}: ${progressLine(await traffic.snapshot())}`);
  }
  const report = await traffic.stop();
  const { failures, remarks } = verdict(report);
  for (const { text } of failures) tell(text);
  tellMoments(momentsOfLoss(report), rounds, tell);
  for (const { text } of remarks.slice(0, 4)) tell(`(${text})`);
  return outcomeOf(report, times);
};

/** A row of all that has none of its own; what it was stands in what is told. */
export const othersRow = (name: string, { others }: Outcome, reach: boolean): Row => ({
  name: `${name}: other failures (down or open in the end, bulk flow, wrong answers)`,
  value: others.length,
  unit: 'kinds',
  ...(reach ? { reach: '0' } : {}),
  met: !reach || others.length === 0,
});

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
    zero('SYNs sent again', outcome.connectionsSlow, outcome.connections, 'connections'),
    zero('names unanswered', outcome.namesUnanswered, outcome.names, 'queries'),
    zero('leases not renewed', outcome.leasesUnanswered, outcome.leases, 'queries'),
    othersRow(name, outcome, reach),
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
