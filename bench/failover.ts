/**
 * The active router's machine killed under load, again and again: every process of it and its namespace. How long nobody
 * answers, what survives, and whether ever two could have answered; against keepalived without state in the same run.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Condition } from 'documents';
import { fdb, links, namespaces, NetlinkError, openRouteSocket } from 'node-netlink';
import type { Resource } from '../cli/client.ts';
import { fabricNamespace } from '../host/names.ts';
import { followOwnership } from '../host/test/fixtures/ownership.ts';
import { processesIn } from '../host/machines/namespace/processes.ts';
import { startTestStack, type TestStack } from '../test/system/stack.ts';
import { against, type Bench, percentile, type Row } from './bench.ts';
import { controlRow, outcomeOf, type Outcome } from './handovers/outcome.ts';
import { KeepalivedPair } from './takeover/keepalived-pair.ts';
import { outageOfEach } from './takeover/outages.ts';
import { FULL_LOAD, type Load } from './traffic/load.ts';
import { prepareTraffic } from './traffic/prepare-traffic.ts';
import type { TrafficReport } from './traffic/report.ts';
import { startTraffic } from './traffic/traffic.ts';
import type { TrafficMap } from './traffic/traffic-map.ts';
import { verdict } from './traffic/verdict.ts';

/** All that passes a router or ends in its haproxy. Who is held against it serves neither names nor leases. */
const { dns: _names, dhcp: _leases, ...LOAD }: Load = FULL_LOAD;

const FEW = 5;
/** ms between one kill whose traces are gone and the next. */
const BREATH = 2000;
const PATIENCE = 90_000;

interface Kills {
  readonly outages: readonly number[];
  readonly outcome: Outcome;
  /** NAT flows that went on, the bulk flow among them, as a share of all there were at each kill. */
  readonly survived: number;
  /** Share of the probes that were not sent, as this machine was too busy: an outage in between would not be seen. */
  readonly skipped: number;
}

const skippedShare = ({ probes }: TrafficReport): number => {
  const [skipped, sent] = [
    probes.reduce((sum, probe) => sum + probe.skipped, 0),
    probes.reduce((sum, probe) => sum + probe.sent, 0),
  ];
  return skipped / Math.max(1, skipped + sent);
};

/** Kills `count` times under load; `kill` does it at once, and returns how to wait for the next. */
const killUnderLoad = async (
  map: TrafficMap,
  count: number,
  kill: (round: number) => Promise<() => Promise<void>>,
  tell: (message: string) => void,
): Promise<Kills> => {
  await using traffic = await startTraffic({ maps: [map], load: LOAD });
  const began = performance.now();
  const events: number[] = [];
  await sleep(BREATH);
  for (let round = 0; round < count; round += 1) {
    events.push(performance.now() - began);
    const recovered = await kill(round);
    await recovered();
    await sleep(BREATH);
  }
  const report = await traffic.stop();
  const { remarks } = verdict(report);
  for (const { text } of remarks.slice(0, 4)) tell(`(${text})`);
  const outcome = outcomeOf(report, []);
  for (const { way, broken, causes } of report.flows)
    if (broken > 0) tell(`(${way}: ${broken} flows broken: ${JSON.stringify(causes)})`);
  const bulkBroken = report.bulk.reduce((sum, { broken }) => sum + broken, 0);
  for (const { causes } of report.bulk)
    if (bulkBroken > 0) tell(`(bulk flow broken: ${JSON.stringify(causes)})`);
  return {
    outages: outageOfEach(report, events),
    outcome,
    skipped: skippedShare(report),
    survived:
      count === 0
        ? 1
        : 1 - (outcome.flowsBroken + bulkBroken) / ((outcome.flows + report.bulk.length) * count),
  };
};

/**
 * All at once, from outside: its processes by their ids, and its namespace. The kernel forwards until it gets round to
 * taking a nameless namespace apart, which may be after the standby was told to serve. `abrupt`: its devices go first, as those of a
 * virtual machine do, and not a packet passes from then on.
 */
const killMachine = (namespace: string, abrupt: boolean): void => {
  if (abrupt) {
    using route = openRouteSocket({ netns: namespace });
    const devices = route.dump(links.dump()).filter(({ loopback }) => !loopback);
    route.batch(devices.map(({ index }) => links.remove({ index })));
  }
  for (const pid of processesIn(namespace)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended with another.
    }
  }
  try {
    namespaces.remove(namespace);
  } catch (error) {
    // The host agent saw the death by what went before, and clears away what is left.
    if (!(error instanceof NetlinkError) || error.code !== 'netlink-not-found') throw error;
  }
};

/** The network as it is when it has a standby that knows what its router knows, and a router other than `not`. */
const whenSynced = async (stack: TestStack, network: string, not: string | null): Promise<Resource> => {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const found = await stack.client().get<Resource>(`/v1/networks/${network}`);
    const conditions = (found['conditions'] ?? []) as readonly Condition[];
    const synced = conditions.some(({ type, status }) => type === 'Redundant' && status === 'True');
    if (synced && typeof found['standby'] === 'string' && found['router'] !== not) return found;
    if (performance.now() > deadline)
      throw new Error(`The network has no synced standby: ${JSON.stringify(conditions)}`);
    await sleep(100);
  }
};

const killActive =
  (stack: TestStack, network: string) =>
  async (round: number): Promise<() => Promise<void>> => {
    const { router } = (await stack.client().get<Resource>(`/v1/networks/${network}`)) as {
      router?: unknown;
    };
    killMachine(`${stack.prefix}-${String(router)}`, round % 2 === 0);
    return async () => {
      await whenSynced(stack, network, String(router));
    };
  };

interface Owners {
  /** Times a MAC went from one machine to another. */
  readonly moves: number;
  /** Times two machines had one MAC, or it is not known whether they had. */
  readonly clashes: number;
}

/** Reads everything the kernel tells of the fabric, until asked who owned what. */
const watchOwners = (netns: string, tell: (message: string) => void): (() => Owners) => {
  const { ownership, monitor } = followOwnership(netns);
  return () => {
    monitor.close();
    const { history, clashes, gaps } = ownership;
    for (const { mac, owners } of clashes.slice(0, 5)) tell(`${mac} was that of ${owners.join(' and ')}`);
    // The first of each MAC had it from the start.
    const macs = new Set(history.map((line) => line.split(' ')[0]));
    return { moves: history.length - macs.size, clashes: clashes.length + gaps };
  };
};

const rowsOf = (count: number, ours: Kills, few: number, theirs: Kills): Row[] => {
  const what = `keepalived, adverts each second, no state, ${few} kills`;
  const abrupt = ours.outages.filter((_, round) => round % 2 === 0);
  const gentle = ours.outages.filter((_, round) => round % 2 === 1);
  const [p50, worst] = [percentile(abrupt, 0.5), Math.max(...ours.outages)];
  const survived = ours.survived * 100;
  return [
    against(
      `${count} kills: outage p50, where the devices went first`,
      p50,
      'ms',
      percentile(theirs.outages, 0.5),
      what,
      {
        text: '<= 50 ms',
        met: p50 <= 50,
      },
    ),
    against(`${count} kills: outage worst`, worst, 'ms', Math.max(...theirs.outages), what, {
      text: '<= 250 ms',
      met: worst <= 250,
    }),
    against(`${count} kills: NAT flows that survived`, survived, '%', theirs.survived * 100, what, {
      text: '>= 99.9 %',
      met: survived >= 99.9,
    }),
    against(`probes lost a kill`, ours.outcome.lost / count, 'probes', theirs.outcome.lost / few, what),
    against(
      `new connections failed a kill (ours: a third of them through haproxy)`,
      ours.outcome.connectionsFailed / count,
      'connections',
      theirs.outcome.connectionsFailed / few,
      what,
    ),
    against(
      'TCP sessions to the balancer broken a kill (ours: they end in haproxy, and with it)',
      ours.outcome.sessionsCut / count,
      'sessions',
      theirs.outcome.sessionsCut / few,
      what,
    ),
    ...(gentle.length === 0
      ? []
      : [
          {
            name: 'outage p50, where the kernel took the namespace apart',
            value: percentile(gentle, 0.5),
            unit: 'ms',
            met: true,
          },
        ]),
    against('probes not sent, this machine being busy', ours.skipped * 100, '%', theirs.skipped * 100, what),
    controlRow('kills lose probes with keepalived', theirs.outcome.lost, 'probes'),
  ];
};

export const bench: Bench = {
  name: 'failover',
  description: "the active router's machine killed under load: outage and what survives, against keepalived",
  run: async ({ runs, tell }) => {
    const count = runs ?? 20;
    const few = Math.min(count, FEW);
    const pair = `svk${process.pid}`;
    const stack = await startTestStack(`svf${process.pid}`);
    try {
      const prepared = await prepareTraffic(stack);
      const network = prepared.network.id;
      const fabric = fabricNamespace(stack.prefix);
      await stack.client().patch(`/v1/networks/${network}`, { redundant: true });
      await whenSynced(stack, network, null);
      tell(`ours: ${count} kills`);
      const owners = watchOwners(fabric, tell);
      const ours = await killUnderLoad(prepared.map, count, killActive(stack, network), tell);
      const { moves, clashes } = owners();
      tell(`outages ${ours.outages.join(' ')} ms, every other one of a machine whose devices went first`);

      tell('control: a second owner on purpose');
      const control = watchOwners(fabric, () => {});
      await makeSecondOwner(stack, network);
      await sleep(300);
      const provoked = control().clashes;

      tell(`against: keepalived, ${few} kills`);
      const keepalived = await KeepalivedPair.start(pair);
      let theirs: Kills;
      try {
        theirs = await killUnderLoad(keepalived.map, few, () => keepalived.killMaster(), tell);
      } finally {
        await keepalived.remove();
      }
      tell(`outages ${theirs.outages.join(' ')} ms`);
      return [
        ...rowsOf(count, ours, few, theirs),
        {
          name: `two owners of one MAC, in ${moves} moves`,
          value: clashes,
          unit: 'times',
          reach: `0, in ${2 * count} moves or more`,
          met: clashes === 0 && moves >= 2 * count,
        },
        controlRow('an entry moved while the old owner is up is seen', provoked, 'times'),
      ];
    } finally {
      await stack.destroy();
    }
  },
};

/** Sends the frames of a router to its standby while both are up; the host agent takes it back. */
const makeSecondOwner = async (stack: TestStack, network: string): Promise<void> => {
  const { standby } = (await whenSynced(stack, network, null)) as { standby?: unknown };
  using route = openRouteSocket({ netns: fabricNamespace(stack.prefix) });
  const port = route.dump(links.dump()).find(({ alias }) => alias?.includes(` ${String(standby)} `) === true);
  const mac = port?.alias?.split(' ').at(-1);
  if (port === undefined || mac === undefined) throw new Error('the standby has no port');
  route.send(fdb.replace({ dev: port.index, mac, state: 'static', sticky: true }));
};
