/**
 * Replacements of a router under full load, one after the other under one load whose sessions never end: what is lost,
 * doubled, broken, cut, failed. Held against what others do (destroy, then create; a parallel router that announces itself)
 * and against our own with one of its means left out: each of these must show losses.
 */
import { namespaces } from 'node-netlink';
import { ApiError, type Resource } from '../cli/client.ts';
import { startTestStack, type TestStack } from '../test/system/stack.ts';
import type { Bench, Row } from './bench.ts';
import { controls } from './handovers/controls.ts';
import { leftBehindSince, settledFootprint } from './handovers/footprint.ts';
import { breath, controlRow, outcomeRows, underLoad } from './handovers/outcome.ts';
import { FULL_LOAD } from './traffic/load.ts';
import { prepareTraffic } from './traffic/prepare-traffic.ts';

const activeRouter = async (stack: TestStack, network: Resource): Promise<string> =>
  String((await stack.client().get(`/v1/networks/${network.id}`))['router']);

/** How long a replacement may be refused because old routers have not gone yet, ms. */
const PATIENCE = 120_000;

/** Replaces the active router, and waits until traffic is on the new one. */
const replace = async (
  stack: TestStack,
  network: Resource,
  options: Readonly<Record<string, unknown>>,
): Promise<void> => {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    try {
      const path = `/v1/routers/${await activeRouter(stack, network)}/replace`;
      const started = await stack.client().post<Resource>(path, options);
      if (typeof started.operation === 'string') await stack.client().wait(started.operation, () => {});
      return;
    } catch (error) {
      const full =
        error instanceof ApiError && error.problems.some(({ code }) => code === 'too-many-routers');
      if (!full || performance.now() > deadline) throw error;
      await breath();
    }
  }
};

const routersOf = async (stack: TestStack): Promise<number> =>
  (await stack.client().list('/v1/routers')).length;

/** How many routers are left once nobody has a session any more. */
const routersLeft = async (stack: TestStack): Promise<number> => {
  const deadline = performance.now() + 60_000;
  let left = await routersOf(stack);
  while (left > 1 && performance.now() < deadline) {
    await breath();
    left = await routersOf(stack);
  }
  return left;
};

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
    'replacements of a router in a row under full load: what is lost, against destroy-then-create, a parallel router, and our own with a means left out',
  run: async ({ runs, tell }) => {
    const count = runs ?? 20;
    const few = Math.min(count, 3);
    const stack = await startTestStack(`svh${process.pid}`);
    const rows: Row[] = [];
    try {
      const { network, map } = await prepareTraffic(stack);
      tell(`ours: ${count} replacements in a row under one load`);
      // A first router has inherited nothing: footprints are compared from its successor on.
      await replace(stack, network, { drainDeadline: 0 });
      await routersLeft(stack);
      const before = await settledFootprint(stack);
      let most = 0;
      const ours = await underLoad(
        map,
        FULL_LOAD,
        count,
        async () => {
          await replace(stack, network, { drainDeadline: null });
          most = Math.max(most, await routersOf(stack));
        },
        tell,
      );
      const left = await routersLeft(stack);
      const behind = await leftBehindSince(stack, before);
      for (const name of behind.slice(0, 10)) tell(`left behind: ${name}`);
      rows.push(
        ...outcomeRows(`${count} replacements`, ours, true),
        // More would be refused: whoever has nothing to lose has to leave the chain.
        {
          name: `${count} replacements: most routers at once`,
          value: most,
          unit: 'routers',
          reach: '<= 16',
          met: most <= 16,
        },
        {
          name: `${count} replacements: routers left when the sessions had ended`,
          value: left,
          unit: 'routers',
          reach: '1',
          met: left === 1,
        },
        {
          name: `${count} replacements: left behind (namespaces, devices, FDB entries, processes, files)`,
          value: behind.length,
          unit: 'things',
          reach: '0',
          met: behind.length === 0,
        },
      );
      tell('against: destroy, then create');
      const destroyed = await underLoad(map, FULL_LOAD, few, () => destroyAndCreate(stack, network), tell);
      tell('control: the old router goes at once, whoever is still in it');
      const hasty = await underLoad(
        map,
        FULL_LOAD,
        few,
        () => replace(stack, network, { drainDeadline: 0 }),
        tell,
      );
      rows.push(
        ...outcomeRows(`${few} times destroy, then create`, destroyed, false),
        ...outcomeRows(`${few} replacements that do not wait for sessions`, hasty, false),
        controlRow('destroy, then create loses probes', destroyed.lost, 'probes'),
        controlRow('not waiting cuts haproxy sessions', hasty.sessionsCut, 'sessions'),
      );
    } finally {
      await stack.destroy();
    }
    return [...rows, ...(await controls(few, tell))];
  },
};
