import type { Condition, RouterStatus } from 'documents';

/** Reasons of `Applied` that say it went wrong. Any other says that something is still to come, such as a leg. */
const failures = new Set(['ApplyFailed', 'DocumentRefused']);

/** The condition that says the newest document could not be applied; undefined when it was, or is only waited for. */
export const applyFailure = (status: RouterStatus): Condition | undefined =>
  status.conditions.find(
    ({ type, status: truth, reason }) => type === 'Applied' && truth === 'False' && failures.has(reason),
  );
