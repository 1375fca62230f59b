/** Reads the arguments of the daemon and runs it. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { proveDaemon, runDaemon } from './daemon.ts';
import { printState } from './print-state.ts';

const USAGE = `usage: router --state DIR                the daemon of the router in DIR; refuses when one runs already
       router --state DIR --take-over    the same in place of the one that runs, once it has proved that it can;
                                         exit code 3 when it cannot, and the one that runs goes on
       router --state DIR --prove        the proof alone, as JSON: exit code 0 when it can take over, 3 when not
       router --state DIR --export-state what another router needs to go on with what this one does, as JSON,
                                         whether its daemon runs or not; changes nothing
`;

const start = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      state: { type: 'string' },
      'take-over': { type: 'boolean', default: false },
      prove: { type: 'boolean', default: false },
      'export-state': { type: 'boolean', default: false },
    },
  });
  const { state, prove, 'take-over': takeOver, 'export-state': exporting } = values;
  if (state === undefined || [prove, takeOver, exporting].filter(Boolean).length > 1) {
    process.stderr.write(USAGE);
    process.exit(2);
  }
  const directory = resolve(state);
  if (prove) process.exitCode = await proveDaemon(directory);
  else if (exporting) await printState(directory);
  else await runDaemon(directory, { takeOver });
};

start().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
