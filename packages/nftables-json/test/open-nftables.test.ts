import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { build } from 'esbuild';
import { addElementsText, elementText, NftablesError, openNftables, renderText } from '../src/index.ts';
import { kernel, namespace } from './support/namespace.ts';

const table = 'add table inet vr\nadd set inet vr many { type ipv4_addr . inet_service; }\n';
const many = { family: 'inet', table: 'vr', name: 'many' } as const;

function numbered(count: number): string[] {
  return Array.from({ length: count }, (_, at) =>
    elementText({ concat: [`10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`, 1 + (at & 0x7fff)] }),
  );
}

async function gone(pid: number | undefined): Promise<boolean> {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      process.kill(pid as number, 0);
    } catch {
      return true;
    }
    await delay(20);
  }
  return false;
}

async function count(nft: ReturnType<typeof openNftables>): Promise<number> {
  const [set] = await nft.list({ family: 'inet', table: 'vr', set: 'many' });
  return set !== undefined && 'set' in set ? (set.set.elem?.length ?? 0) : -1;
}

test('an error names statement, line and column, in words of nft', async (t) => {
  const nft = kernel(t.teardown);
  await nft.apply(table);
  const text = addElementsText(many, ['192.0.2.1 . 80', '192.0.2.2 . http_', '192.0.2.3 . 80']);
  const error = await t.throwsAsync(nft.apply(text), { instanceOf: NftablesError });
  t.is(error.line, 3);
  t.is(error.column, 15);
  t.is(error.statement, '192.0.2.2 . http_,');
  t.regex(error.message, /Could not resolve service: Servname not supported/);
  t.is(await count(nft), 0);
  const missing = await t.throwsAsync(nft.apply(`${table}add rule inet vr nothing accept\n`), {
    instanceOf: NftablesError,
  });
  t.like(missing, { code: 'missing', line: 3, statement: 'add rule inet vr nothing accept' });
  t.regex(missing.message, /No such file or directory/);
});

test('check changes nothing, not even the generation', async (t) => {
  const nft = kernel(t.teardown);
  const before = await nft.generation();
  await nft.check(table);
  t.is(await nft.generation(), before);
  t.deepEqual(await nft.list(), []);
  await nft.apply(table);
  t.not(await nft.generation(), before);
});

test('each works in its own namespace', async (t) => {
  const one = kernel(t.teardown);
  const other = kernel(t.teardown);
  await one.apply(table);
  t.is((await one.list()).length, 2);
  t.deepEqual(await other.list(), []);
});

test('calls made at once are answered in order', async (t) => {
  const nft = kernel(t.teardown);
  await nft.apply(table);
  const results = await Promise.allSettled(
    Array.from({ length: 300 }, (_, at) =>
      nft.apply(at % 3 === 0 ? 'delete table ip nothing\n' : addElementsText(many, [`192.0.2.1 . ${at}`])),
    ),
  );
  t.deepEqual(
    results.map(({ status }) => status),
    results.map((_, at) => (at % 3 === 0 ? 'rejected' : 'fulfilled')),
  );
  t.is(await count(nft), 200);
});

test('a helper killed midway: pending calls reject, the ruleset is whole, the next call starts another', async (t) => {
  const exits: string[] = [];
  const nft = kernel(t.teardown, { onExit: (reason) => exits.push(reason) });
  await nft.apply(table);
  const first = nft.helperPid as number;
  const pending = [nft.apply(addElementsText(many, numbered(40_000))), nft.apply('add table ip later\n')];
  const settled = Promise.allSettled(pending);
  await delay(30);
  process.kill(first, 'SIGKILL');
  for (const result of await settled) {
    t.is(result.status, 'rejected');
    t.is((result as PromiseRejectedResult).reason.code, 'helper-exited');
  }
  t.deepEqual(exits.length, 1);
  t.regex(exits[0] as string, /SIGKILL/);
  const left = await count(nft);
  t.true(left === 0 || left === 40_000, `all or nothing, not ${left}`);
  t.not(nft.helperPid, first);
});

test('ten megabytes pass, and the helper is replaced once it is idle', async (t) => {
  const nft = kernel(t.teardown);
  await nft.apply(table);
  const first = nft.helperPid;
  const text = renderText(
    Array.from({ length: 100_000 }, (_, at) => ({
      comment: `line ${at} ${'of a long text that says nothing'.repeat(3)}`,
    })),
  );
  t.true(text.length > 10_000_000);
  await nft.apply(`${text}${addElementsText(many, ['192.0.2.1 . 1'])}`);
  t.is(await count(nft), 1);
  t.true(await gone(first));
  t.is(await count(nft), 1);
  t.not(nft.helperPid, first);
});

test('ten thousand elements: added, listed, and changed one at a time', async (t) => {
  const nft = kernel(t.teardown);
  await nft.apply(table);
  await nft.apply(addElementsText(many, numbered(10_000)));
  t.is(await count(nft), 10_000);
  const times: number[] = [];
  for (let at = 0; at < 200; at += 1) {
    const started = performance.now();
    await nft.apply(
      `add element inet vr many { 192.0.2.1 . ${at + 1} }\ndelete element inet vr many { 192.0.2.1 . ${at + 1} }\n`,
    );
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  const median = times[100] as number;
  t.log(`median of a change among 10,000: ${median.toFixed(3)} ms`);
  t.is(await count(nft), 10_000);
});

test('idleExit ends an unused helper, and the next call starts another', async (t) => {
  const exits: string[] = [];
  const nft = kernel(t.teardown, { idleExit: 100, onExit: (reason) => exits.push(reason) });
  await nft.apply(table);
  const first = nft.helperPid;
  t.true(await gone(first));
  t.is(nft.helperPid, undefined);
  t.is((await nft.list()).length, 2);
  t.not(nft.helperPid, first);
  t.deepEqual(exits, []);
  const stays = kernel(t.teardown);
  await stays.generation();
  await delay(400);
  t.notThrows(() => process.kill(stays.helperPid as number, 0));
});

test('the helper ends with the process that started it', async (t) => {
  const netns = namespace(t.teardown);
  const module = new URL('../src/index.ts', import.meta.url).href;
  const program = `const { openNftables } = await import(${JSON.stringify(module)});
const nft = openNftables({ netns: ${JSON.stringify(netns)} });
await nft.generation();
console.log(nft.helperPid);
setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => parent.kill('SIGKILL'));
  const pid = await new Promise<number>((resolve) =>
    parent.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString()))),
  );
  t.notThrows(() => process.kill(pid, 0));
  const group = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[2]);
  t.is(group, pid, 'Ctrl-C does not reach it');
  parent.kill('SIGKILL');
  t.true(await gone(pid));
});

test('an open but idle Nftables does not keep its process alive', async (t) => {
  const netns = namespace(t.teardown);
  const module = new URL('../src/index.ts', import.meta.url).href;
  const program = `const { openNftables } = await import(${JSON.stringify(module)});
await openNftables({ netns: ${JSON.stringify(netns)} }).generation();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: 'inherit',
    timeout: 20_000,
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  t.is(code, 0);
});

test('a namespace that is missing is said, and nothing stays behind', async (t) => {
  const nft = openNftables({ netns: '/run/netns/svt-nothing' });
  const error = await t.throwsAsync(nft.generation(), { code: 'helper-exited' });
  t.regex(error?.message ?? '', /ENOENT/);
  t.is(nft.helperPid, undefined);
  await nft.close();
});

test('the helper works bundled, from another file', async (t) => {
  const outfile = fileURLToPath(new URL(`bundled-${process.pid}.mjs`, import.meta.url));
  t.teardown(() => rmSync(outfile, { force: true }));
  const entry = fileURLToPath(new URL('../src/helper/main.ts', import.meta.url));
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['koffi'],
    logLevel: 'silent',
  });
  const nft = kernel(t.teardown, { helper: outfile });
  await nft.apply(table);
  t.is((await nft.list()).length, 2);
  await t.throwsAsync(nft.apply('add rule inet vr nothing accept\n'), { code: 'missing' });
  t.log(/VmRSS.*/.exec(readFileSync(`/proc/${nft.helperPid}/status`, 'utf8'))?.[0]?.replace(/\s+/g, ' '));
});

test('the memory of a large load is given back', async (t) => {
  const nft = kernel(t.teardown);
  await nft.apply(table);
  const anonymous = () =>
    Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${nft.helperPid}/status`, 'utf8'))?.[1]);
  const before = anonymous();
  await nft.apply(addElementsText(many, numbered(40_000)));
  await nft.generation();
  const grown = anonymous() - before;
  t.log(`after 40,000 elements: ${Math.round(grown / 1024)} MB more`);
  t.true(grown < 24 * 1024);
});
