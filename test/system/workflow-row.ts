import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestStack } from './stack.ts';

/**
 * Where a workflow is, looked up in the store itself: steps last some ms, and a controller that was killed does not answer.
 * `running drain`, `aborting flip`; with the stage of a step that has some: `running retire down`.
 */
export const watchWorkflow = (stack: TestStack, id: string) => {
  const database = new DatabaseSync(join(stack.state, 'controller/selvage.sqlite'), { readOnly: true });
  const look = database.prepare(
    `select status || ' ' || step || coalesce(' ' || json_extract(state, '$.release.stage'), '') as place from workflow where id = ?`,
  );
  return {
    place: (): string => String((look.get(id) as { place: string }).place),
    close: () => database.close(),
  };
};

/** How long what an agent said last may take to be in the store, ms. */
const UNDER_WAY = 40;

/**
 * Stops the agent as soon as a workflow is at a place and `ready` says so; without it no step comes to its end. Returns
 * whether it is there and stays; if not (it lasted too short) the agent goes on. `resume` is for afterwards.
 */
export const holdAt = async (
  stack: TestStack,
  id: string,
  place: string,
  ready: () => boolean = () => true,
): Promise<{ readonly held: boolean; readonly place: () => string; readonly resume: () => void }> => {
  const watch = watchWorkflow(stack, id);
  const agent = stack.stack().pids().agent;
  if (agent === undefined) throw new Error('the agent does not run');
  let stopped = false;
  let over = false;
  const resume = (): void => {
    if (over) return;
    over = true;
    watch.close();
    try {
      if (stopped) process.kill(agent, 'SIGCONT');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  try {
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; ) {
      const now = watch.place();
      if (now === place && ready()) {
        stopped = true;
        process.kill(agent, 'SIGSTOP');
        await new Promise((done) => setTimeout(done, UNDER_WAY));
        const held = watch.place() === place;
        if (held) return { held, place: watch.place, resume };
        break;
      }
      if (!/^(running|aborting) /.test(now)) break;
      await new Promise((done) => setTimeout(done, 1));
    }
  } catch (error) {
    resume();
    throw error;
  }
  resume();
  return { held: false, place: () => place, resume: () => {} };
};
