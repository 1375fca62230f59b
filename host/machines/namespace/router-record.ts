/** What the agent remembers of a router's machine, in the router's directory: what it was made from, and what it runs. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from '../../bundles/own-bundle.ts';

/** Programs of a router; `path` as it was then. */
export interface RunsRecord {
  /** What its host came with, or its first document named: what it runs when no document names another. */
  readonly made: Program;
  /** What it runs, as far as that is proved. */
  readonly running: Program;
  /** What is about to take its place. */
  readonly trying: Program | null;
  readonly refused: { readonly checksum: string; readonly message: string } | null;
}

/** Decided when the machine is made. */
export interface MadeRecord {
  readonly image: string;
  /** Most memory of its daemon's heap, bytes; null: as Node has it. */
  readonly memory: number | null;
}

const read = <Value>(path: string): Value | null => {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Value;
  } catch {
    // There is none, or an agent that was killed left it half: as if there were none.
    return null;
  }
};

const write = (path: string, value: object): void => {
  writeFileSync(`${path}.new`, `${JSON.stringify(value)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
};

const runs = (directory: string): string => join(directory, 'bundle.json');
const made = (directory: string): string => join(directory, 'machine.json');

export const readRuns = (directory: string): RunsRecord | null => read(runs(directory));
export const writeRuns = (directory: string, record: RunsRecord): void => write(runs(directory), record);
export const readMade = (directory: string): MadeRecord | null => read(made(directory));
export const writeMade = (directory: string, record: MadeRecord): void => write(made(directory), record);
