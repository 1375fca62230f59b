/** What counts as the death of a router and what does not, with namespaces and processes and without a router. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { namespaces, NetlinkError, openRouteSocket, type RouteSocket } from 'node-netlink';
import { type Death, Deaths, type Sign } from '../failover/deaths.ts';
import { Failover } from '../failover/failover.ts';
import { routersOnDuty } from '../failover/on-duty.ts';
import { fabricNamespace, machineNamespace } from '../names.ts';
import { hostDocument, idOf, networkRouter, segment, standingBy } from './fixtures/documents.ts';

const router = idOf('rtr', 10);
const document = hostDocument(
  1,
  segment(10),
  networkRouter(10, 1, [10], true),
  networkRouter(11, 1, [10], false),
  standingBy(10, 11),
);
let scenes = 0;

const scene = (t: ExecutionContext, look: (device: string) => Sign | null) => {
  scenes += 1;
  const prefix = `svt${process.pid}d${scenes}`;
  const routersDirectory = mkdtempSync(join(tmpdir(), 'svt-deaths-'));
  const namespace = machineNamespace(prefix, router);
  namespaces.create(namespace);
  const found: Death[] = [];
  const deaths = new Deaths({
    prefix,
    routersDirectory,
    look,
    onDeath: (_duty, death) => found.push(death),
    onDrift: () => {},
  });
  deaths.guard(routersOnDuty(document), { adopted: false });
  const children: ChildProcess[] = [];
  t.teardown(() => {
    deaths.close();
    for (const child of children) child.kill('SIGKILL');
    if (namespaces.exists(namespace)) namespaces.remove(namespace);
    rmSync(routersDirectory, { recursive: true, force: true });
  });
  const start = (): ChildProcess => {
    const child = namespaces.run(namespace, () => spawn('sleep', ['60'], { stdio: 'ignore' }));
    children.push(child);
    return child;
  };
  return { deaths, found, namespace, start, prefix, routersDirectory };
};

const well = (device: string): Sign => ({ name: device, up: true, carrier: true });

test('another namespace of the same name is a death; the same one again is none', (t) => {
  const { deaths, found, namespace } = scene(t, well);
  deaths.namespaceChanged(namespace);
  deaths.examineAll(null);
  t.deepEqual(found, []);
  // The old one lives on without its name, so that its inode is not given to the new one.
  const child = namespaces.run(namespace, () => spawn('sleep', ['60'], { stdio: 'ignore' }));
  t.teardown(() => child.kill('SIGKILL'));
  namespaces.remove(namespace);
  namespaces.create(namespace);
  deaths.guard(routersOnDuty(document), { adopted: false });
  deaths.examineAll(null);
  t.like(found, [{ reason: 'its namespace is gone', gone: true }]);
  // Once.
  deaths.namespaceChanged(namespace);
  deaths.guard(routersOnDuty(document), { adopted: false });
  deaths.examineAll(null);
  t.is(found.length, 1);
});

test('what the kernel does not say is no sign; what it says is', (t) => {
  let answer: () => Sign | null = () => well('');
  const { deaths, found } = scene(t, () => answer());
  answer = () => {
    throw new NetlinkError({ request: 'look', errno: 'ENOBUFS' });
  };
  deaths.fabricChanged({ type: 'resync', groups: ['link'] });
  deaths.guard(routersOnDuty(document), { adopted: false });
  t.deepEqual(found, []);
  answer = () => null;
  deaths.fabricChanged({ type: 'resync', groups: ['link'] });
  t.is(found.length, 1);
  t.false(found[0]?.gone);
});

test('all programs that end while we are held up are seen to have ended; those that live on are not', async (t) => {
  for (const dies of [true, false]) {
    const { deaths, found, start } = scene(t, well);
    const service = start();
    await once(service, 'spawn');
    deaths.daemonEnded(router);
    if (dies) service.kill('SIGKILL');
    // The time is over before the end of a process can be told.
    for (const until = performance.now() + 400; performance.now() < until; ) continue;
    await sleep(50);
    t.is(found.length, dies ? 1 : 0);
    if (dies) t.is(found[0]?.reason, 'its programs ended, all of them');
  }
});

test('a socket that answers nothing any more ends nobody, neither the agent nor a router', (t) => {
  scenes += 1;
  const prefix = `svt${process.pid}d${scenes}`;
  const directory = mkdtempSync(join(tmpdir(), 'svt-deaths-'));
  const namespace = machineNamespace(prefix, router);
  const fabric = fabricNamespace(prefix);
  namespaces.create(namespace);
  namespaces.create(fabric);
  mkdirSync(join(directory, 'routers', router), { recursive: true });
  writeFileSync(join(directory, 'routers', router, 'document.json'), '{}');
  t.teardown(() => {
    for (const name of [namespace, fabric]) if (namespaces.exists(name)) namespaces.remove(name);
    rmSync(directory, { recursive: true, force: true });
  });
  const route: RouteSocket = openRouteSocket({ netns: fabric });
  route.close();
  const lost: Death[] = [];
  const failover = new Failover({
    prefix,
    directory,
    route: () => route,
    onPromoted: () => t.fail('nobody can be promoted'),
    onUnfenced: () => t.fail('nobody is to be fenced'),
    isSynced: () => true,
    onLoss: (_router, death) => {
      if (death !== null) lost.push(death);
    },
  });
  t.teardown(() => failover.close());
  failover.open(document);
  failover.fabricChanged({ type: 'resync', groups: ['link'] });
  t.deepEqual(lost, []);
  namespaces.remove(namespace);
  failover.namespaceChanged(namespace);
  t.like(lost, [{ gone: true }]);
});
