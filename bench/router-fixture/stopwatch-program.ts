/**
 * Runs programs in the namespace it is started in and says how long each took. A process of its own, as starting a
 * program takes the longer the larger the process is that does it, and a bench is large. One JSON request a line.
 */
import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TimedCommand } from './stopwatch.ts';

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { commands, inputFile } = JSON.parse(line) as TimedCommand;
    const started = performance.now();
    let error = '';
    for (const [program = '', ...args] of commands) {
      const all = inputFile === undefined ? args : [...args, inputFile];
      const { status, stderr } = spawnSync(program, all, {
        encoding: 'utf8',
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      if (status !== 0) error += stderr;
    }
    process.stdout.write(`${JSON.stringify({ ms: performance.now() - started, error })}\n`);
  })
  .on('close', () => process.exit(0));
