import { spawn } from 'node:child_process';
import { mkdirSync, openSync, closeSync } from 'node:fs';
import { dirname } from 'node:path';

/** One program of the stack that is kept running: started again with back-off when it ends by itself. */
export interface KeptProgram {
  readonly name: string;
  readonly pid: () => number | undefined;
  /** Asks it to end (SIGTERM) and resolves when it has; ends it for good after 5 s. */
  readonly stop: () => Promise<void>;
}

const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 10_000;
/** A program that ran this long is taken to have been well: the next pause is the first again. */
const SETTLED_AFTER = 30_000;

/**
 * Keeps `node main args` running, its output appended to `log`. It ends with this process, however that ends
 * (PR_SET_PDEATHSIG by way of setpriv(1)), so a killed stack never leaves a controller holding its port.
 */
export const keepRunning = (
  name: string,
  main: string,
  args: readonly string[],
  log: string,
  tell: (message: string) => void,
): KeptProgram => {
  let stopped = false;
  let pause = FIRST_PAUSE;
  let child: ReturnType<typeof spawn> | undefined;
  let timer: NodeJS.Timeout | undefined;

  const start = (): void => {
    mkdirSync(dirname(log), { recursive: true, mode: 0o711 });
    const output = openSync(log, 'a', 0o600);
    const startedAt = performance.now();
    child = spawn('/usr/bin/setpriv', ['--pdeathsig', 'TERM', process.execPath, main, ...args], {
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    child.once('exit', (code, signal) => {
      if (stopped) return;
      if (performance.now() - startedAt > SETTLED_AFTER) pause = FIRST_PAUSE;
      tell(`${name} ended (${signal ?? `exit code ${code}`}), starting it again; its log: ${log}`);
      timer = setTimeout(start, pause);
      pause = Math.min(LONGEST_PAUSE, pause * 2);
    });
  };
  start();

  return {
    name,
    pid: () => child?.pid,
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      const running = child;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const ended = new Promise<void>((resolve) => {
        running.once('exit', () => resolve());
      });
      running.kill('SIGTERM');
      const killer = setTimeout(() => running.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(killer);
    },
  };
};
