/** Nobody takes over from a router whose ports the kernel does not set down: on real ports, without routers. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Failover as FailoverReport, type HostDocument, verifyHostDocument } from 'documents';
import { links, namespaces, openRouteSocket, type RouteSocket } from 'node-netlink';
import { applyFabric, applyPlacements } from '../fabric/apply.ts';
import { diffFabric, wantedFabric } from '../fabric/diff.ts';
import { observeFabric } from '../fabric/observe.ts';
import type { Death } from '../failover/deaths.ts';
import { readFailovers, writeFailovers } from '../failover/failover-file.ts';
import { Failover, type Unfenced } from '../failover/failover.ts';
import { routersOnDuty } from '../failover/on-duty.ts';
import { FENCE_TRIES, fence, fenceOf, linkOf, placementsOf } from '../failover/promotion.ts';
import { fabricNamespace, machineNamespace } from '../names.ts';
import { hostDocument, idOf, macOf, networkRouter, segment, standingBy } from './fixtures/documents.ts';
import { type Meddle, meddlingSocket } from './fixtures/meddling-socket.ts';
import { followOwnership } from './fixtures/ownership.ts';
import { settlesTo } from './fixtures/router-chain.ts';

const [dead, standby, third] = [idOf('rtr', 10), idOf('rtr', 11), idOf('rtr', 12)];
const segments = [10, 11];
/** Ports of the dead router, one for each leg. */
const devices = ['pt000000001100', 'pt000000001101'];
const macs = [macOf(16), macOf(17)];

const documentOf = (generation: number, active: number): HostDocument =>
  hostDocument(
    generation,
    ...segments.map((number) => segment(number)),
    networkRouter(10, 1, segments, active === 10),
    networkRouter(11, 1, segments, active === 11),
    networkRouter(12, 1, segments, false),
    standingBy(10, 11),
    standingBy(10, 12),
  );
const document = documentOf(1, 10);
let scenes = 0;

/** Three routers of one network, as ports and namespaces; the first has the MACs, and dies without ending. */
const scene = async (t: ExecutionContext) => {
  scenes += 1;
  const prefix = `svt${process.pid}f${scenes}`;
  const directory = mkdtempSync(join(tmpdir(), 'svt-fence-'));
  const fabric = fabricNamespace(prefix);
  const namespaceOf = (router: string) => machineNamespace(prefix, router);
  const all = [fabric, ...[dead, standby, third].map(namespaceOf)];
  const children: ChildProcess[] = [];
  const closing: (() => void)[] = [];
  t.teardown(() => {
    for (const close of closing) close();
    for (const child of children) child.kill('SIGKILL');
    for (const name of all) if (namespaces.exists(name)) namespaces.remove(name);
    rmSync(directory, { recursive: true, force: true });
  });
  for (const name of all) namespaces.create(name);
  const route = openRouteSocket({ netns: fabric });
  closing.push(() => route.close());
  const { actions, placements } = diffFabric(observeFabric(route), wantedFabric(document));
  t.deepEqual(
    applyFabric(route, actions, (port) => ({ netns: namespaceOf(port.machine) })),
    [],
  );
  const second = diffFabric(observeFabric(route), wantedFabric(document));
  t.deepEqual(applyPlacements(route, [...placements, ...second.placements]).failures, []);
  for (const router of [dead, standby, third]) {
    using inside = openRouteSocket({ netns: namespaceOf(router) });
    for (const name of ['guest0', 'public0']) inside.send(links.set({ name, up: true }));
  }
  // As alive as ever without its name: its ports have carrier, and would be heard.
  const child = namespaces.run(namespaceOf(dead), () => spawn('sleep', ['60'], { stdio: 'ignore' }));
  children.push(child);
  await once(child, 'spawn');
  const { ownership, monitor } = followOwnership(fabric);
  closing.push(() => monitor.close());
  const linkIn = (device: string) => linkOf(route, device);
  const [first = 0, other = 0] = devices.map((device) => linkIn(device)?.index);
  const asked: string[] = [];
  const agent = (meddle: Meddle = () => null) => {
    const promoted: FailoverReport[] = [];
    const unfenced: Unfenced[] = [];
    const lost: (Death | null)[] = [];
    const meddling: RouteSocket = meddlingSocket(route, (description) => {
      asked.push(description);
      return meddle(description);
    });
    const failover = new Failover({
      prefix,
      directory,
      route: () => meddling,
      onPromoted: (one) => promoted.push(one),
      onUnfenced: (one) => unfenced.push(one),
      isSynced: () => true,
      onLoss: (_router, death) => lost.push(death),
    });
    closing.push(() => failover.close());
    failover.open(document);
    return { failover, promoted, unfenced, lost };
  };
  return {
    route,
    ownership,
    agent,
    asked,
    linkIn,
    /** Index of each port of the dead one. */
    ports: [first, other] as const,
    dies: (failover: Failover) => {
      namespaces.remove(namespaceOf(dead));
      failover.namespaceChanged(namespaceOf(dead));
    },
    onRecord: () => readFailovers(join(directory, 'failovers.json')).map(({ router }) => router),
    record: (...failovers: readonly FailoverReport[]) =>
      writeFailovers(join(directory, 'failovers.json'), failovers),
    /** Who has the MACs, when all that the kernel told was heard. */
    owners: async (wanted: string) => {
      const now = () =>
        macs.map((mac) => ownership.history.findLast((line) => line.startsWith(mac))?.split(' ')[1]);
      return await settlesTo([wanted, wanted], now, 20);
    },
  };
};

/** The kernel refuses whatever is to be done to this port, and to no other. */
const refusing =
  (index: number, errno = 'EPERM'): Meddle =>
  (description) =>
    description === `change link #${index}` ? errno : null;

test('a fence that is not refused comes first, and only then the placements', async (t) => {
  const s = await scene(t);
  const { failover, promoted, unfenced } = s.agent();
  s.asked.length = 0;
  s.dies(failover);
  t.like(promoted, [{ router: dead, promoted: standby, reason: 'its namespace is gone' }]);
  t.deepEqual(unfenced, []);
  t.deepEqual(await s.owners(standby), [standby, standby]);
  const done = s.asked.filter((description) => !description.startsWith('read'));
  t.deepEqual(
    done.slice(0, 2),
    s.ports.map((index) => `change link #${index}`),
  );
  t.true(s.asked.length > 2);
  t.deepEqual(s.ownership.clashes, []);
  t.deepEqual(s.onRecord(), [dead]);
});

test('with a refused fence nobody takes over, now, at the next pass or by the next agent, until one holds', async (t) => {
  for (const [leg, index] of [0, 1].entries()) {
    const s = await scene(t);
    const port = s.ports[index as 0 | 1];
    const { failover, promoted, unfenced, lost } = s.agent(refusing(port));
    s.asked.length = 0;
    s.dies(failover);
    const tries = () => s.asked.filter((description) => description === `change link #${port}`).length;
    t.is(tries(), FENCE_TRIES);
    t.deepEqual([promoted, lost], [[], []]);
    t.like(unfenced, [{ failover: { router: dead, promoted: standby } }]);
    t.regex(unfenced[0]?.message ?? '', /change link #\d+: EPERM \(refused by the test\)/);
    // It is no failover, for the controller, and nobody has the places: what is left of it is to go.
    t.deepEqual(failover.failovers, []);
    t.is(failover.unfenced.length, 1);
    const effective = failover.effective(document);
    t.deepEqual(verifyHostDocument(effective), []);
    t.false(JSON.stringify(effective).includes(dead));
    t.true(effective.ports.every(({ active }) => !active));
    t.deepEqual(effective.fdb, []);
    // The next pass tries again, and tells nothing that was told.
    failover.guard(document);
    t.is(tries(), 2 * FENCE_TRIES);
    t.is(unfenced.length, 1);
    // Neither does an agent that comes after this one, and the record waits for the next.
    failover.close();
    const second = s.agent(refusing(port));
    t.is(tries(), 3 * FENCE_TRIES);
    t.deepEqual([second.promoted, second.lost], [[], []]);
    t.is(second.unfenced.length, 1);
    t.deepEqual(s.onRecord(), [dead]);
    second.failover.close();
    // The port that could be set down is; the standby got nothing of it.
    t.deepEqual(
      devices.map((device) => s.linkIn(device)?.up),
      [leg === 0, leg === 1],
    );
    t.false(s.ownership.history.some((line) => line.includes(standby)));
    // The next one can.
    const third = s.agent();
    t.deepEqual(third.unfenced, []);
    t.like(third.failover.failovers, [{ router: dead, promoted: standby }]);
    t.deepEqual(await s.owners(standby), [standby, standby]);
    t.deepEqual(
      devices.map((device) => s.linkIn(device)?.up),
      [false, false],
    );
    t.deepEqual(s.ownership.clashes, []);
  }
});

test('the same in one batch, the fence not looked at: the judge sees two owners', async (t) => {
  const s = await scene(t);
  const meddling = meddlingSocket(s.route, refusing(s.ports[0]));
  const [duty] = routersOnDuty(document);
  const [candidate] = duty?.candidates ?? [];
  if (duty === undefined || candidate === undefined) throw new TypeError('a pair is needed');
  const placements = placementsOf(s.route, duty, candidate) ?? [];
  t.is(
    meddling.batch([...fenceOf(s.route, duty), ...placements]).filter((error) => error !== null).length,
    1,
  );
  t.is(await settlesTo(1, () => Math.min(1, s.ownership.clashes.length)), 1);
  t.like(s.ownership.clashes, [{ mac: macs[0], owners: [dead, standby] }]);
});

test('once what was left of it is gone, the standby takes over without waiting for a pass', async (t) => {
  const s = await scene(t);
  const { failover, promoted, unfenced } = s.agent(refusing(s.ports[0]));
  s.dies(failover);
  t.is(unfenced.length, 1);
  const link = s.linkIn(devices[0] as string);
  if (link === null) throw new TypeError('a port is needed');
  // Something else of the fabric, or a port that is as it was, is no occasion.
  failover.fabricChanged({ type: 'link', change: 'set', link });
  t.deepEqual(promoted, []);
  s.route.send(links.remove({ index: link.index }));
  failover.fabricChanged({ type: 'link', change: 'removed', link });
  t.like(promoted, [{ router: dead, promoted: standby, reason: 'its namespace is gone' }]);
  t.true((promoted[0]?.microseconds ?? 0) > 0);
  t.deepEqual(failover.unfenced, []);
  t.is(failover.failovers.length, 1);
  t.deepEqual(s.onRecord(), [dead]);
  t.deepEqual(await s.owners(standby), [standby, standby]);
  t.deepEqual(s.ownership.clashes, []);
});

test('what passes, and a port that goes between look and fence, keep nobody from taking over', async (t) => {
  for (const what of ['refused at first', 'gone meanwhile'] as const) {
    const s = await scene(t);
    let left = FENCE_TRIES - 1;
    const { failover, promoted, unfenced } = s.agent((description) => {
      if (description !== `change link #${s.ports[0]}` || left === 0) return null;
      left -= 1;
      if (what === 'refused at first') return 'ENOBUFS';
      left = 0;
      s.route.send(links.remove({ index: s.ports[0] }));
      return null;
    });
    s.dies(failover);
    t.is(left, 0);
    t.is(promoted.length, 1, what);
    t.deepEqual(unfenced, []);
    t.deepEqual(await s.owners(standby), [standby, standby], what);
    t.deepEqual(s.ownership.clashes, []);
  }
});

test('a port that cannot be looked at is not fenced, and what throws ends nobody', async (t) => {
  const s = await scene(t);
  let blind = false;
  const { failover, promoted, unfenced, lost } = s.agent((description) =>
    blind && description === `read link ${devices[1]}` ? 'ENOBUFS' : null,
  );
  blind = true;
  s.dies(failover);
  t.deepEqual([promoted, lost], [[], []]);
  t.regex(unfenced[0]?.message ?? '', /ENOBUFS/);
  blind = false;
  failover.guard(document);
  t.is(promoted.length, 1);
  t.deepEqual(await s.owners(standby), [standby, standby]);
  t.deepEqual(s.ownership.clashes, []);
  const closed = openRouteSocket();
  closed.close();
  const [duty] = routersOnDuty(document);
  if (duty === undefined) throw new TypeError('a router on duty is needed');
  t.is(fence(closed, duty).length, 1);
});

test('one after the other on record: where the first cannot be fenced, what followed from it is not done either', async (t) => {
  const s = await scene(t);
  const of = (router: string, promoted: string) => ({
    router,
    promoted,
    at: 1,
    reason: 'test',
    microseconds: 0,
  });
  const record = [of(dead, standby), of(standby, third)];
  s.record(...record);
  const { failover, unfenced } = s.agent(refusing(s.ports[0]));
  t.like(unfenced, [{ failover: record[0] }]);
  t.deepEqual(failover.failovers, []);
  const effective = failover.effective(document);
  t.true(effective.ports.length === 4 && effective.ports.every(({ active }) => !active));
  t.false(s.ownership.history.some((line) => line.includes(standby) || line.includes(third)));
  failover.close();
  s.record(...record);
  t.deepEqual(s.agent().failover.failovers, record);
  t.deepEqual(await s.owners(third), [third, third]);
  t.deepEqual(s.ownership.clashes, []);
});

test('a document that does not have it serve any more, or has no standby, rules', async (t) => {
  const alone = hostDocument(
    2,
    ...segments.map((number) => segment(number)),
    networkRouter(10, 1, segments, true),
  );
  for (const next of [documentOf(2, 11), alone]) {
    const s = await scene(t);
    const { failover, promoted, unfenced } = s.agent(refusing(s.ports[0]));
    s.dies(failover);
    t.is(unfenced.length, 1);
    t.deepEqual(s.onRecord(), [dead]);
    failover.settle(next);
    failover.guard(next);
    t.deepEqual(failover.unfenced, []);
    t.is(failover.effective(next), next);
    t.deepEqual(s.onRecord(), []);
    t.deepEqual(promoted, []);
  }
});
