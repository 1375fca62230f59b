/**
 * Runs the tests and ends with the line `N passed, N failed, N skipped`. Arguments are passed to ava (files, --match).
 * What a test run leaves behind on the machine (namespaces, processes in them) counts as a failed test.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';

const NAMESPACES = '/run/netns';

const testNamespaces = (): ReadonlySet<string> => {
  try {
    return new Set(readdirSync(NAMESPACES).filter((name) => name.startsWith('svt')));
  } catch {
    return new Set();
  }
};

const count = { passed: 0, failed: 0, skipped: 0 };
const before = testNamespaces();
const started = performance.now();

const ava = spawn('ava', ['--tap', ...process.argv.slice(2)], { stdio: ['ignore', 'pipe', 'inherit'] });
for await (const line of createInterface({ input: ava.stdout })) {
  const result = /^(not )?ok \d+ - (.*)$/.exec(line);
  if (result === null) {
    // The indented YAML behind a failure says what went wrong; the plan and the version line say nothing to people.
    if (!/^(TAP version|\d+\.\.\d+|#)/.test(line) && line.trim() !== '') console.log(`    ${line}`);
    continue;
  }
  const title = result[2] ?? '';
  if (/# (SKIP|TODO)/i.test(title)) {
    count.skipped += 1;
    console.log(`skip  ${title.replace(/ # (SKIP|TODO)/i, '')}`);
  } else if (result[1] === undefined) {
    count.passed += 1;
    console.log(`ok    ${title}`);
  } else {
    count.failed += 1;
    console.log(`FAIL  ${title}`);
  }
}
const exitCode = await new Promise<number>((resolve) => {
  if (ava.exitCode !== null) resolve(ava.exitCode);
  ava.once('exit', (code) => resolve(code ?? 1));
});

const left = [...testNamespaces()].filter((name) => !before.has(name));
if (left.length > 0) {
  count.failed += 1;
  console.log(`FAIL  the tests left network namespaces behind: ${left.join(', ')}`);
}
if (exitCode !== 0 && count.failed === 0) {
  count.failed += 1;
  console.log(`FAIL  ava ended with exit code ${exitCode}`);
}
console.log(`\n${((performance.now() - started) / 1000).toFixed(0)} s`);
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
process.exitCode = count.failed === 0 ? 0 : 1;
