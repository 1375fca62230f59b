/** Ends every router and guest of a stack of this machine and removes all it made. */
import { existsSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { cleanUp } from 'selvage-host';
import { CliError, readStackFile } from '../connection.ts';
import { labDown } from '../lab/down.ts';

export interface DestroyOptions {
  readonly state: string;
  readonly prefix: string;
  /** False: asks on the terminal first. */
  readonly confirmed: boolean;
  readonly tell: (message: string) => void;
}

const runs = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** What Selvage keeps in a state directory; nothing else in it is touched. */
const OURS = ['admin.key', 'stack.json', 'controller', 'host', 'lab', 'log'];

/** Throws CliError when the stack still runs or the user says no. Twice is harmless. */
export const destroyStack = async ({
  state: given,
  prefix,
  confirmed,
  tell,
}: DestroyOptions): Promise<void> => {
  const state = resolve(given);
  const running = readStackFile(state);
  if (running !== null && running.pid !== process.pid && runs(running.pid)) {
    throw new CliError(
      'still-running',
      `The stack of ${state} still runs (pid ${running.pid})`,
      'End it with Ctrl-C first.',
    );
  }
  if (!confirmed) {
    if (!process.stdin.isTTY)
      throw new CliError(
        'not-confirmed',
        'This removes every router, guest and all state',
        'Say --yes when you mean it.',
      );
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await terminal.question(
      `Remove every router and guest with the prefix ${prefix}, and all state in ${state}? [yes/no] `,
    );
    terminal.close();
    if (answer.trim() !== 'yes')
      throw new CliError('not-confirmed', 'Nothing was removed', 'Answer yes to remove it.');
  }
  await labDown({ state, prefix, tell: () => {} });
  const { namespaces, failures } = await cleanUp({ prefix, state });
  for (const name of OURS) rmSync(join(state, name), { recursive: true, force: true });
  for (const failure of failures) tell(failure);
  tell(
    `removed ${namespaces.length} network namespaces${existsSync(state) ? ` and the state in ${state}` : ''}`,
  );
  if (failures.length > 0)
    throw new CliError(
      'left-over',
      'Some things could not be removed',
      'See the lines above, then run this again.',
    );
};
