/** Many routers are upgraded in one run under its own probes, the controller killed in the middle; a bad bundle goes no further than the canary. */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Measured, ProbeReading } from 'documents';
import type { Resource } from '../../cli/client.ts';
import { bundleVariant } from './bundle-variant.ts';
import { startTestStack, type TestStack } from './stack.ts';
import { until } from './until.ts';

const NETWORKS = ['one', 'two', 'three'] as const;

let stack: TestStack;

test.before(async () => {
  stack = await startTestStack(`svt${process.pid}`);
  for (const [index, name] of NETWORKS.entries()) {
    // Guests of one of them may go out; probes of the others need an exception.
    const given = index === 0 ? { name, offering: 'isolated-egress-allow' } : { name };
    const network = await stack.create('/v1/networks', given);
    await stack.create('/v1/instances', { name: `${name}-1`, network: network.id });
  }
});
test.after.always(() => stack?.destroy());

interface Row {
  readonly router: string;
  readonly networkName: string;
  readonly state: string;
  readonly lost: number | null;
  readonly sent: number | null;
  readonly reasons: readonly string[];
  readonly notMeasured: readonly string[];
  readonly before: ProbeReading | null;
  readonly during: ProbeReading | null;
  readonly after: ProbeReading | null;
}
type Run = Resource & {
  readonly status: string;
  readonly problem: { readonly message: string } | null;
  readonly routers: readonly Row[];
};

const upload = async (version: string, before = ''): Promise<Resource> => {
  const content = (await bundleVariant(version, before)).toString('base64');
  return stack.client().post('/v1/router-bundles', { content, default: true });
};

const selvage = (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
  new Promise((done, reject) => {
    const { SELVAGE_URL: _url, SELVAGE_API_KEY: _key, ...environment } = process.env;
    const child = spawn(
      join(import.meta.dirname, '../../cli/bin/selvage'),
      ['--state', stack.state, ...args],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: environment,
      },
    );
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => done({ code, ...output }));
  });

const show = (id: string): Promise<Run> => stack.client().get<Run>(`/v1/upgrade-runs/${id}`);
const report = (id: string) =>
  stack.client().get<{ run: Run; routers: Row[] }>(`/v1/upgrade-runs/${id}/report`);
const versions = async (): Promise<(string | undefined)[]> =>
  (await stack.client().list('/v1/routers', { role: 'active' }))
    .map((router) => (router['bundle'] as { version: string } | null)?.version)
    .sort();

/** Namespaces of probes. */
const probes = (): string[] =>
  readdirSync('/run/netns').filter((name) => name.startsWith(`${stack.prefix}-prb-`));

const isClean = (t: ExecutionContext, when: string, measured: Measured | undefined): void => {
  t.like(measured, { lost: 0, doubled: 0 }, `${when}: ${JSON.stringify(measured)}`);
};

/** Everything of a router was measured, and nothing was lost. */
const allZero = (t: ExecutionContext, row: Row): void => {
  t.is(row.state, 'passed', JSON.stringify(row));
  t.deepEqual(row.notMeasured, []);
  for (const when of ['before', 'during', 'after'] as const)
    for (const kind of ['datagrams', 'connections', 'names'] as const)
      isClean(t, `${row.networkName} ${when} ${kind}`, row[when]?.[kind]);
  t.true((row.before?.datagrams.sent ?? 0) > 50 && (row.after?.datagrams.sent ?? 0) > 50);
  t.true((row.before?.connections.sent ?? 0) > 0 && (row.before?.names.sent ?? 0) > 0);
};

test.serial(
  'a canary and a batch are patched with nothing lost, though the controller is killed',
  async (t) => {
    const bundle = await upload('9.0.1');
    const plan = await selvage('upgrade-run', 'create', '--plan', '--batch', '2');
    t.is(plan.code, 0, plan.stderr);
    t.regex(plan.stdout, /canary +patch/);
    t.is(plan.stdout.match(/batch 1 +patch/g)?.length, 2, plan.stdout);
    t.deepEqual(probes(), []);
    const begun = await stack
      .client()
      .post<Run>('/v1/upgrade-runs', { name: 'all', canaries: 1, batch: 2, baseline: 2, soak: 2 });
    const following = selvage('upgrade-run', 'show', begun.id, '--follow');
    await until(
      'the canary being at work',
      () => show(begun.id),
      ({ routers }) => ['working', 'soaking'].includes(routers[0]?.state ?? ''),
    );
    t.is(probes().length, NETWORKS.length + 1);
    process.kill(Number(stack.stack().pids().controller), 'SIGKILL');
    const done = await until(
      'the end of the run',
      () => show(begun.id),
      ({ status }) => ['succeeded', 'failed', 'halted'].includes(status),
      120_000,
    );
    t.is(done.status, 'succeeded', JSON.stringify(done.problem));
    for (const row of (await report(begun.id)).routers) allZero(t, row);
    t.deepEqual(
      await versions(),
      NETWORKS.map(() => '9.0.1'),
    );
    t.deepEqual(probes(), [], 'probes are gone');
    t.log((await selvage('upgrade-run', 'report', begun.id)).stdout);
    const followed = await following;
    t.is(followed.code, 0, followed.stderr);
    t.regex(followed.stdout, /succeeded: 3 of 3 done/);
    t.is((await stack.client().get(`/v1/router-bundles/${bundle.id}`))['routers'], NETWORKS.length);
  },
);

test.serial('fresh routers for all of them: nothing is lost either', async (t) => {
  const short = ['--batch', '2', '--baseline', '2', '--soak', '2'];
  const said = await selvage('upgrade-run', 'create', '--replace', ...short, '-o', 'json');
  t.is(said.code, 0, said.stderr);
  const run = JSON.parse(said.stdout) as Run;
  for (const row of (await report(run.id)).routers) allZero(t, row);
  t.deepEqual(probes(), []);
});

/** From two seconds after its start on, a fifth of the time, the router forwards nothing; what is begun anew forwards again. */
const HARMFUL = `if (!process.argv.includes('--nft-helper')) {
  const fs = process.getBuiltinModule('node:fs');
  const forward = (text) => { try { fs.writeFileSync('/proc/sys/net/ipv4/ip_forward', text); } catch {} };
  process.on('exit', () => forward('1'));
  setTimeout(() => setInterval(() => { forward('0'); setTimeout(() => forward('1'), 150); }, 750), 2000);
}
`;

test.serial('a bundle that loses packets goes no further than the canary, and is taken back', async (t) => {
  await upload('9.0.2', HARMFUL);
  const said = await selvage('upgrade-run', 'create', '--baseline', '2', '--soak', '5', '--batch', '2');
  t.is(said.code, 1, said.stdout + said.stderr);
  t.regex(said.stdout, /datagrams were lost/);
  t.log(said.stdout);
  const [run] = (await stack.client().list('/v1/upgrade-runs', { status: 'halted' })) as Run[];
  t.deepEqual(
    run?.routers.map(({ state }) => state),
    ['rolled-back', 'waiting', 'waiting'],
  );
  t.deepEqual(
    await versions(),
    NETWORKS.map(() => '9.0.1'),
  );
  const aborted = await selvage('upgrade-run', 'abort', String(run?.id));
  t.is(aborted.code, 0, aborted.stderr);
  t.is((await show(String(run?.id))).status, 'aborted');
  t.deepEqual(probes(), []);
});
