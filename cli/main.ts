#!/usr/bin/env node
/** The `selvage` command: the public API for people, and the stack and lab of this machine. */
import { buildProgram } from './build-program.ts';
import { describeError } from './context.ts';

try {
  await buildProgram(process.env).parseAsync();
} catch (error) {
  console.error(describeError(error));
  process.exitCode = 1;
}
