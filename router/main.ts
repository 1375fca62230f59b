/**
 * The daemon inside every virtual router: `node router.mjs --state DIR`, started in the router's network namespace.
 * Wiring only; this is the one file that reads arguments and environment.
 */
import { enableCompileCache } from 'node:module';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

// Before the rest is loaded: compiled code is taken from the cache of the last start.
enableCompileCache();
const { runDaemon } = await import('./daemon.ts');

const { values } = parseArgs({ options: { state: { type: 'string' } } });
if (values.state === undefined) {
  process.stderr.write('usage: router --state DIR\n');
  process.exit(2);
}
try {
  await runDaemon(resolve(values.state));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
