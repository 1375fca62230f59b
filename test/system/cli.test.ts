/** The command line as a person and as a program uses it, against a running stack. */
import { spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import test from 'ava';
import { type RunResult, startTestStack, type TestStack } from './stack.ts';

const SELVAGE = resolve(import.meta.dirname, '../../cli/bin/selvage');

let stack: TestStack;

test.before(async () => {
  stack = await startTestStack(`svt${process.pid}`);
});
test.after.always(() => stack?.destroy());

const selvage = (
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<RunResult> =>
  new Promise((done, reject) => {
    const { SELVAGE_URL: _url, SELVAGE_API_KEY: _key, ...inherited } = process.env;
    const child = spawn(SELVAGE, ['--state', stack.state, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...inherited, ...environment },
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => done({ exitCode: code ?? 1, ...output }));
  });
const json = async <T = { id: string } & Record<string, unknown>>(...args: string[]): Promise<T> => {
  const { exitCode, stdout, stderr } = await selvage(['--output', 'json', ...args]);
  if (exitCode !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as T;
};

test.serial(
  'a network is made, used, looked at and removed by name, with a line for each step',
  async (t) => {
    const created = await selvage([
      'network',
      'create',
      '--name',
      'web',
      '--offering',
      'isolated-egress-allow',
    ]);
    t.is(created.exitCode, 0, created.stderr);
    t.regex(created.stdout, /state: +allocated/);
    const instance = await selvage([
      'instance',
      'create',
      '--name',
      'web-1',
      '--network',
      'web',
      '--user-data',
      'hello',
      '--meta',
      'role=web',
    ]);
    t.is(instance.exitCode, 0, instance.stderr);
    t.regex(instance.stdout, /state: +running/);
    t.true(instance.stderr.split('\n').length >= 3, instance.stderr);

    const inside = await selvage([
      'instance',
      'exec',
      'web-1',
      '--',
      'curl',
      '-s',
      'http://data-server/latest/user-data',
    ]);
    t.is(inside.stdout, 'hello');
    const role = await selvage([
      'instance',
      'exec',
      'web-1',
      '--',
      'curl',
      '-s',
      'http://data-server/latest/meta-data/role',
    ]);
    t.is(role.stdout.trim(), 'web');
    const outside = await selvage(['lab', 'exec', 'internet', '--', 'sh', '-c', 'exit 7']);
    t.is(outside.exitCode, 7);

    const [router] = await json<{ id: string }[]>('router', 'list');
    if (router === undefined) throw new Error('there is a router');
    t.is((await json<{ id: string }>('router', 'document', router.id)).id, router.id);
    t.is((await selvage(['router', 'diff', router.id])).stdout.trim(), 'nothing would change');
    const ping = await selvage(['router', 'ping', router.id, '198.51.100.1', '--count', '1']);
    t.is(ping.exitCode, 0, ping.stderr);
    t.not((await selvage(['router', 'ping', router.id, '198.51.100.99', '--count', '1'])).exitCode, 0);
    t.is((await json<{ id: string }>('router', 'status', router.id)).id, router.id);
    const bundle = join(stack.state, 'bundle.tar.gz');
    t.is((await selvage(['router', 'support-bundle', router.id, '--file', bundle])).exitCode, 0);

    t.regex((await selvage(['instance', 'list'])).stdout, /^ID +NAME +STATE/);
    t.is((await selvage(['network', 'delete', 'web'])).exitCode, 1);
    t.is((await selvage(['instance', 'delete', 'web-1'])).exitCode, 0);
    t.is((await selvage(['network', 'delete', 'web'])).exitCode, 0);
    t.deepEqual(await json<unknown[]>('network', 'list'), []);
  },
);

test.serial('what is wrong is said all at once, with what to do', async (t) => {
  const refused = await selvage([
    'network',
    'create',
    '--name',
    'a"\nb',
    '--prefix',
    '010.0.0.1/24',
    '--mtu',
    '99999',
    '--domain',
    'Bad_Domain',
  ]);
  t.is(refused.exitCode, 1);
  for (const pointer of ['/name', '/prefix', '/mtu', '/domain'])
    t.true(refused.stderr.includes(pointer), refused.stderr);
  t.is(refused.stdout, '');
  t.deepEqual(await json<unknown[]>('network', 'list'), []);

  const unknown = await selvage(['instance', 'create', '--name', 'x', '--network', 'nowhere']);
  t.is(unknown.exitCode, 1);
  t.regex(unknown.stderr, /None of the networks is called "nowhere"/);

  const bad = await selvage([
    'firewall-rule',
    'create',
    '--public-ip',
    'pip-000000000000',
    '--protocol',
    'tcp',
    '--ports',
    'http',
  ]);
  t.regex(bad.stderr, /"http" is not a port or a range of ports/);
});

test.serial(
  'the environment points the command elsewhere, and says so when nobody answers there',
  async (t) => {
    const nobody = await selvage(['zone', 'list'], { SELVAGE_URL: 'http://127.0.0.1:1' });
    t.is(nobody.exitCode, 1);
    t.regex(nobody.stderr, /Nothing answers at http:\/\/127\.0\.0\.1:1/);
    const stranger = await selvage(['zone', 'list'], { SELVAGE_API_KEY: 'svk_nonsense' });
    t.is(stranger.exitCode, 1);
  },
);

test.serial('an account sees its own and nothing else', async (t) => {
  const account = await json('account', 'create', '--name', 'other');
  const { key } = await json<{ key: string }>('api-key', 'create', '--account', account.id, '--name', 'k');
  const network = await json('network', 'create', '--name', 'mine');
  const theirs = await selvage(['--output', 'json', 'network', 'list'], { SELVAGE_API_KEY: key });
  t.deepEqual(JSON.parse(theirs.stdout), []);
  for (const args of [
    ['show', network.id],
    ['delete', network.id],
  ]) {
    const walled = await selvage(['network', ...args], { SELVAGE_API_KEY: key });
    t.is(walled.exitCode, 1);
    t.regex(walled.stderr, /error: /);
  }
  t.is((await json('network', 'show', network.id)).id, network.id);
  await selvage(['network', 'delete', network.id]);
});

test.serial('events can be followed while they happen', async (t) => {
  const { SELVAGE_API_KEY: _key, ...inherited } = process.env;
  const child = spawn(SELVAGE, ['--state', stack.state, '--output', 'json', 'events', '--follow'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: inherited,
  });
  try {
    let seen = '';
    child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    const deadline = performance.now() + 10_000;
    await json('network', 'create', '--name', 'followed');
    while (!seen.includes('followed') && performance.now() < deadline)
      await new Promise((done) => setTimeout(done, 50));
    t.true(
      seen.split('\n').some((line) => line.includes('network.') && line.includes('followed')),
      seen.slice(-500),
    );
  } finally {
    child.kill('SIGKILL');
  }
  await selvage(['network', 'delete', 'followed']);
});

test.serial('a controller that is restarted while a command waits is waited for', async (t) => {
  await json('network', 'create', '--name', 'again');
  await json('instance', 'create', '--name', 'again-1', '--network', 'again');
  const { controller, agent } = stack.stack().pids();
  if (controller === undefined || agent === undefined) throw new Error('the stack runs');
  const { SELVAGE_API_KEY: _key, SELVAGE_URL: _url, ...inherited } = process.env;
  // Nothing is done for it until the agent goes on.
  process.kill(agent, 'SIGSTOP');
  const child = spawn(SELVAGE, ['--state', stack.state, 'network', 'restart', 'again'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: inherited,
  });
  const ended = new Promise<number | null>((done) => child.once('close', done));
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  try {
    const deadline = performance.now() + 60_000;
    const isSaid = async (text: RegExp): Promise<void> => {
      while (!text.test(said) && performance.now() < deadline)
        await new Promise((done) => setTimeout(done, 20));
      t.regex(said, text);
    };
    await isSaid(/its whole document/);
    process.kill(controller, 'SIGKILL');
    // What is not a wait says at once that nobody is there.
    const other = await selvage(['zone', 'list']);
    t.is(other.exitCode, 1);
    t.regex(other.stderr, /Nothing answers/);
    await isSaid(/the controller is waited for, up to 60 s/);
  } finally {
    process.kill(agent, 'SIGCONT');
  }
  t.is(await ended, 0, said);
  t.is(said.match(/is waited for/g)?.length, 1, said);
  t.is((await selvage(['instance', 'delete', 'again-1'])).exitCode, 0);
  t.is((await selvage(['network', 'delete', 'again'])).exitCode, 0);
});

test.serial('help comes without a stack', async (t) => {
  const top = await selvage(['--help']);
  t.is(top.exitCode, 0);
  t.regex(top.stdout, /A first network:/);
  const help = await selvage(['network', 'create', '--help'], { SELVAGE_STATE: '/nowhere' });
  t.is(help.exitCode, 0);
  t.regex(help.stdout, /Example:\n {2}selvage network create/);
});
