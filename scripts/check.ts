/** Static checks: types, lint (with the import boundaries), format. Runs all three, reports all, exits 1 if any failed. */
import { spawnSync } from 'node:child_process';

const checks: readonly (readonly [name: string, command: string, ...args: string[]])[] = [
  ['types', 'tsc', '--noEmit'],
  ['lint and import boundaries', 'oxlint', '--quiet'],
  ['format', 'biome', 'format', '.'],
];

let failed = 0;
for (const [name, command, ...args] of checks) {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  const passed = status === 0;
  if (!passed) {
    failed += 1;
    process.stdout.write(stdout + stderr);
  }
  console.log(
    `${passed ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  );
}
process.exitCode = failed === 0 ? 0 : 1;
