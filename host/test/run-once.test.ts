/** A program that is run once is bounded in time and in what it prints, and explains itself when it fails. */
import { spawn } from 'node:child_process';
import test from 'ava';
import { printed, type RunOnceBounds, RunOnceError } from '../machines/run-once.ts';

const run = async (script: string, bounds: Partial<RunOnceBounds> = {}) => {
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const outcome = await printed(child, { within: 10_000, mostBytes: 1000, ...bounds }).then(
    (text) => text.toString(),
    (error: unknown) => (error instanceof RunOnceError ? `${error.code}: ${error.message}` : error),
  );
  await ended;
  return outcome;
};

test('what it prints, or why there is nothing', async (t) => {
  t.is(await run(`process.stdout.write('x'.repeat(1000))`), 'x'.repeat(1000));
  t.regex(
    String(await run(`process.stdout.write('x'.repeat(1001)); setTimeout(() => {}, 9000)`)),
    /^too-large/,
  );
  t.regex(String(await run(`setTimeout(() => {}, 9000)`, { within: 300 })), /^too-late/);
  t.is(
    await run(`console.error('no such option'); process.exitCode = 2`),
    'failed: it ended with exit code 2: no such option',
  );
  t.regex(String(await run(`process.kill(process.pid, 'SIGKILL')`)), /^failed: it ended with SIGKILL/);
  t.regex(String(await run(`setTimeout(() => {}, 9000)`, { signal: AbortSignal.timeout(200) })), /^ended/);
  t.regex(String(await run(`setTimeout(() => {}, 9000)`, { signal: AbortSignal.abort() })), /^ended/);
  const nothing = spawn('/nonexistent', [], { stdio: ['ignore', 'pipe', 'pipe'] });
  await t.throwsAsync(printed(nothing, { within: 1000, mostBytes: 1 }), { code: 'cannot-run' });
});
