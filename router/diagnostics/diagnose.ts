import type { Problem, RouterDocument } from 'documents';
import type { System } from '../system.ts';
import { diagnosticCommand } from './diagnostic-command.ts';

export interface DiagnosticOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How many may run in one router at the same time. */
const MOST_AT_ONCE = 4;
const LONGEST_OUTPUT = 64 * 1024;
const running = new WeakMap<System, number>();

/** Runs a ping, traceroute or arping from inside the router: its outcome, or what is wrong with the request. */
export const diagnose = async (
  system: System,
  document: Pick<RouterDocument, 'legs'>,
  request: unknown,
): Promise<DiagnosticOutcome | readonly Problem[]> => {
  const command = diagnosticCommand(request, document);
  if (!('program' in command)) return command;
  const count = running.get(system) ?? 0;
  if (count >= MOST_AT_ONCE) {
    const message = `${MOST_AT_ONCE} diagnostics are running in this router`;
    return [
      { pointer: '', code: 'too-many-diagnostics', message, hint: 'Wait for one to end, then ask again.' },
    ];
  }
  running.set(system, count + 1);
  try {
    const { program, args, timeout } = command;
    const { exitCode, stdout, stderr } = await system.exec.run(program, args, { timeout });
    return { exitCode, stdout: stdout.slice(0, LONGEST_OUTPUT), stderr: stderr.slice(0, LONGEST_OUTPUT) };
  } finally {
    running.set(system, (running.get(system) ?? 1) - 1);
  }
};
