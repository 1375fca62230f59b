/**
 * Runs the tests and ends with the line `N passed, N failed, N skipped`. Arguments are passed to ava (files, --match).
 * What a test run leaves behind on the machine (namespaces, processes in them) counts as a failed test.
 *
 * The tests use real kernels, daemons and clocks, several files at a time on few processors. A file with failures is run
 * once more by itself at the end: what fails again has failed; what passes alone is counted as passed and listed as
 * unsteady, for somebody to look at. In files that count lost packets a failed assertion gets no second try, for loss is
 * not noise, unless the kernel says that it dropped packets itself; what threw before it could count does.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const NAMESPACES = '/run/netns';
/** More failing files than this are no unsteadiness. */
const MOST_AGAIN = 4;

/** Tests of zero loss, by file. */
const COUNTS_LOSS =
  /^(test\/system\/|test\/traffic\/traffic|router\/test\/(handover|packets)\/|host\/test\/(survival|replacement|flip|links|real-router))/;

const testNamespaces = (): ReadonlySet<string> => {
  try {
    return new Set(readdirSync(NAMESPACES).filter((name) => name.startsWith('svt')));
  } catch {
    return new Set();
  }
};

interface Outcome {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  /** Those of `failed` that ended with an error and not with an assertion. */
  readonly thrown: ReadonlySet<string>;
  readonly skipped: number;
  readonly exitCode: number;
}

/** Runs ava, passing on what it says line by line. */
const run = async (args: readonly string[]): Promise<Outcome> => {
  const passed: string[] = [];
  const failed: string[] = [];
  const thrown = new Set<string>();
  let skipped = 0;
  const ava = spawn('ava', ['--tap', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<number>((resolve) => {
    ava.once('exit', (code) => resolve(code ?? 1));
  });
  for await (const line of createInterface({ input: ava.stdout })) {
    const result = /^(not )?ok \d+ - (.*)$/.exec(line);
    if (result === null) {
      // The indented YAML behind a failure says what went wrong; the plan and the version line say nothing to people.
      if (!/^(TAP version|\d+\.\.\d+|#)/.test(line) && line.trim() !== '') console.log(`    ${line}`);
      const last = failed.at(-1);
      if (last !== undefined && /Rejected promise returned by test|Error thrown in test/.test(line)) {
        thrown.add(last);
      }
      continue;
    }
    const title = result[2] ?? '';
    if (/# (SKIP|TODO)/i.test(title)) {
      skipped += 1;
      console.log(`skip  ${title.replace(/ # (SKIP|TODO)/i, '')}`);
    } else if (result[1] === undefined) {
      passed.push(title);
      console.log(`ok    ${title}`);
    } else {
      failed.push(title);
      console.log(`FAIL  ${title}`);
    }
  }
  return { passed, failed, thrown, skipped, exitCode: await ended };
};

/** The file of a test, from the title of a run of all files: `host › test › routers › a guest joins`; null if it has none. */
const fileOf = (title: string): string | null => {
  const parts = title.split(' › ');
  for (let length = parts.length - 1; length > 0; length -= 1) {
    const file = `${parts.slice(0, length).join('/')}.test.ts`;
    if (existsSync(file)) return file;
  }
  return null;
};

const config = new URL('../ava.config.js', import.meta.url).href;
const { default: ava } = (await import(config)) as { readonly default: { readonly files: string[] } };

/**
 * All test files, or those of the arguments. Files that count lost packets come first and two at a time, as there are two
 * processors on the smallest machine and a machine that drops packets by itself proves nothing; the others wait most of the
 * time, and go together.
 */
const runs = (given: readonly string[]): readonly (readonly string[])[] => {
  if (given.length > 0) return [given];
  const [counting = [], others = []] = ['true', 'false'].map((counts) =>
    globSync(ava.files).filter((file) => String(COUNTS_LOSS.test(file)) === counts),
  );
  return [
    ['--concurrency', '2', ...counting],
    ['--concurrency', '4', ...others],
  ];
};

/** Packets the kernel dropped because its processors did not get round to them: /proc/net/softnet_stat, second column. */
const droppedByMachine = (): number =>
  readFileSync('/proc/net/softnet_stat', 'utf8')
    .trimEnd()
    .split('\n')
    .reduce((sum, line) => sum + Number.parseInt(line.split(' ')[1] ?? '0', 16), 0);

const before = testNamespaces();
const started = performance.now();
const first = {
  passed: [] as string[],
  failed: [] as string[],
  thrown: new Set<string>(),
  skipped: 0,
  exitCode: 0,
};
for (const args of runs(process.argv.slice(2))) {
  const drops = droppedByMachine();
  const { passed, failed, thrown, skipped, exitCode } = await run(args);
  first.passed.push(...passed);
  first.failed.push(...failed);
  first.skipped += skipped;
  first.exitCode ||= exitCode;
  const dropped = droppedByMachine() - drops;
  if (dropped > 0) console.log(`(the machine itself dropped ${dropped} packets: loss is counted once more)`);
  // What it dropped is no router's loss.
  for (const title of dropped > 0 ? failed : thrown) first.thrown.add(title);
}
let passed = first.passed.length;
let failed = first.failed.length;
const unsteady: string[] = [];

const files = new Map<string, string[]>();
for (const title of first.failed) {
  const file = fileOf(title);
  if (file !== null && (first.thrown.has(title) || !COUNTS_LOSS.test(file)))
    files.set(file, [...(files.get(file) ?? []), title]);
}
if (files.size > 0 && files.size <= MOST_AGAIN) {
  for (const [file, titles] of files) {
    console.log(`\nonce more, alone: ${file}`);
    const again = await run([file]);
    for (const title of titles) {
      const failedAgain = again.failed.some((other) => title.endsWith(other));
      if (failedAgain || !again.passed.some((other) => title.endsWith(other))) continue;
      unsteady.push(title);
      passed += 1;
      failed -= 1;
    }
  }
}
if (first.exitCode !== 0 && first.failed.length === 0) {
  failed += 1;
  console.log(`FAIL  ava ended with exit code ${first.exitCode}`);
}
const left = [...testNamespaces()].filter((name) => !before.has(name));
if (left.length > 0) {
  failed += 1;
  console.log(`FAIL  the tests left network namespaces behind: ${left.join(', ')}`);
}
for (const title of unsteady) console.log(`unsteady: failed among others, passed alone: ${title}`);
console.log(`\n${((performance.now() - started) / 1000).toFixed(0)} s`);
console.log(`${passed} passed, ${failed} failed, ${first.skipped} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
