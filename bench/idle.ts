/**
 * Memory of each process at rest, and of each further router. PSS (proc(5), smaps_rollup): pages that processes share
 * are split among them, so sums are true. Bare Node is measured beside the others, in the same way.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { startTestStack, type TestStack } from '../test/system/stack.ts';
import { against, type Bench, type Row } from './bench.ts';

/** PSS and RSS of a process, MB; null when it is gone. */
const memoryOf = (pid: number): { pss: number; rss: number } | null => {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const field = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024;
    return { pss: field('Pss'), rss: field('Rss') };
  } catch {
    return null;
  }
};

/** Pids of the processes in a network namespace, with the program each runs. */
const processesIn = (namespace: string): { pid: number; program: string }[] => {
  const { ino } = statSync(`/run/netns/${namespace}`);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (readlinkSync(`/proc/${pid}/ns/net`) !== `net:[${ino}]`) return [];
        const [command = '', script = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
          .split('\0')
          .filter((part) => !part.startsWith('--'));
        const name = command.split('/').at(-1) ?? command;
        return [
          { pid: Number(pid), program: name === 'node' ? `node ${script.split('/').at(-1) ?? ''}` : name },
        ];
      } catch {
        return [];
      }
    });
};

/** MB the control holds. */
const BALLAST = 50;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const addRouter = async (stack: TestStack, index: number): Promise<string> => {
  const network = await stack.create('/v1/networks', {
    name: `n-${index}`,
    offering: 'isolated-egress-allow',
  });
  await stack.create('/v1/instances', { name: `i-${index}`, network: network.id });
  return String((await stack.client().get(`/v1/networks/${network.id}`))['router']);
};

export const bench: Bench = {
  name: 'idle',
  description: 'memory of each process at rest, and of each further router',
  run: async ({ runs, tell }) => {
    const routersMeasured = Math.max(2, runs ?? 4);
    // Longer than the nft helper waits for work before it ends.
    const rest = 75_000;
    const stack = await startTestStack(`svi${process.pid}`);
    const bare = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
    const heavier = spawn(
      process.execPath,
      ['-e', `globalThis.ballast = Buffer.alloc(${BALLAST} << 20, 1); setInterval(() => {}, 1e6)`],
      { stdio: 'ignore' },
    );
    try {
      const routers: string[] = [];
      for (let index = 0; index < routersMeasured; index += 1) routers.push(await addRouter(stack, index));
      tell(`${routersMeasured} routers run; waiting ${rest / 1000} s for them to come to rest`);
      await new Promise((done) => setTimeout(done, rest));
      const bareMemory = memoryOf(bare.pid ?? 0);
      if (bareMemory === null) throw new Error('bare Node is gone');
      const rows: Row[] = [{ name: 'bare Node (RSS)', value: bareMemory.rss, unit: 'MB', met: true }];
      const { controller, agent } = stack.stack().pids();
      for (const [name, pid] of [
        ['controller', controller],
        ['host agent', agent],
      ] as const) {
        const memory = memoryOf(pid ?? 0);
        if (memory !== null)
          rows.push(against(`${name} (PSS)`, memory.pss, 'MB', bareMemory.pss, 'bare Node'));
      }
      const perRouter = routers.map((router) =>
        processesIn(`${stack.prefix}-${router}`)
          .map(({ pid, program }) => ({ program, memory: memoryOf(pid) }))
          .filter((entry) => entry.memory !== null),
      );
      for (const { program, memory } of perRouter[0] ?? [])
        rows.push({ name: `router: ${program} (PSS)`, value: memory?.pss ?? 0, unit: 'MB', met: true });
      const totals = perRouter.map((processes) => sum(processes.map(({ memory }) => memory?.pss ?? 0)));
      const each = sum(totals) / totals.length;
      rows.push(
        against('each router, all its processes (PSS)', each, 'MB', bareMemory.pss, 'bare Node', {
          text: '<= 2.5x',
          met: each / bareMemory.pss <= 2.5,
        }),
      );
      const rss = sum((perRouter[0] ?? []).map(({ memory }) => memory?.rss ?? 0));
      rows.push(
        against(
          'one router, all its processes (RSS, shared pages counted in each)',
          rss,
          'MB',
          bareMemory.rss,
          'bare Node',
          { text: '<= 2.5x', met: rss / bareMemory.rss <= 2.5 },
        ),
      );
      const more = memoryOf(heavier.pid ?? 0)?.pss ?? 0;
      const grown = more - bareMemory.pss;
      rows.push({
        name: `control: bare Node that holds ${BALLAST} MB more, measured larger by`,
        value: grown,
        unit: 'MB',
        reach: `${BALLAST} MB +- 5`,
        met: Math.abs(grown - BALLAST) <= 5,
      });
      return rows;
    } finally {
      bare.kill('SIGKILL');
      heavier.kill('SIGKILL');
      await stack.destroy();
    }
  },
};
