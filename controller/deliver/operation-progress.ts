/** Whether what an operation waits for has come, judged from what was reported last. Pure. */
import type { HostStatus, Problem, RouterStatus } from 'documents';
import type { WaitsFor } from '../store/operations.ts';
import { applyFailure } from './apply-failure.ts';

/** The reports an operation is judged by. */
export interface Reports {
  /** Null: nothing reported yet. Undefined: there is no such router any more. */
  readonly router: (id: string) => RouterStatus | null | undefined;
  readonly host: (id: string) => HostStatus | null | undefined;
  /** Host an instance or router is on, undefined when it is gone. */
  readonly hostOf: (machine: string) => string | undefined;
  /** When the host reported last, ms since the epoch. */
  readonly reportedAt: (host: string) => number;
}

export type Progress =
  | { readonly state: 'waiting' }
  | { readonly state: 'reached'; readonly message: string }
  | { readonly state: 'failed'; readonly problem: Problem };

const waiting: Progress = { state: 'waiting' };

const gone = (what: string): Progress => ({
  state: 'failed',
  problem: {
    pointer: '',
    code: 'resource-gone',
    message: `${what} was removed before this was done`,
    hint: 'Nothing is left to do. If it was not you who removed it, look at its events.',
  },
});

const routerProgress = (
  id: string,
  generation: number,
  status: RouterStatus | null | undefined,
): Progress => {
  if (status === undefined) return gone(`The router ${id}`);
  if (status === null) return waiting;
  if (status.appliedGeneration >= generation)
    return { state: 'reached', message: `router ${id} has generation ${generation} in force` };
  if (status.observedGeneration < generation) return waiting;
  const applied = applyFailure(status);
  if (applied === undefined) return waiting;
  return {
    state: 'failed',
    problem: {
      pointer: '',
      code: 'apply-failed',
      message: `Router ${id} could not apply generation ${generation}: ${applied.message}`,
      hint: `Generation ${status.appliedGeneration} is in force; the router tries again. "selvage router diff ${id}" shows what would change.`,
    },
  };
};

const machineProgress = (
  wait: Extract<WaitsFor, { machine: string }>,
  operation: Operation,
  reports: Reports,
): Progress => {
  const host = reports.hostOf(wait.machine);
  if (host === undefined)
    return wait.state === 'stopped'
      ? { state: 'reached', message: `${wait.machine} is gone` }
      : gone(wait.machine);
  const status = reports.host(host) ?? null;
  if (status === null) return waiting;
  // A report from before the change says what was, such as the failure that a new start is to mend.
  const since = operation.waitsFor.find((other) => 'host' in other && other.host === host);
  const fresh =
    since !== undefined && 'host' in since
      ? status.observedGeneration >= since.generation
      : reports.reportedAt(host) >= operation.createdAt;
  if (!fresh) return waiting;
  const machine = status.machines.find(({ id }) => id === wait.machine);
  if (machine?.state === wait.state) return { state: 'reached', message: `${wait.machine} is ${wait.state}` };
  if (machine?.state !== 'failed') return waiting;
  return {
    state: 'failed',
    problem: {
      pointer: '',
      code: 'machine-failed',
      message: `${wait.machine} failed on host ${host}: ${machine.message || 'the host does not say why'}`,
      hint: 'Mend the cause on the host and start it again.',
    },
  };
};

export interface Operation {
  readonly createdAt: number;
  readonly waitsFor: readonly WaitsFor[];
}

/** Progress of each thing the operation waits for, in their order. */
export const operationProgress = (operation: Operation, reports: Reports): Progress[] =>
  operation.waitsFor.map((wait) => {
    if ('router' in wait) return routerProgress(wait.router, wait.generation, reports.router(wait.router));
    if ('machine' in wait) return machineProgress(wait, operation, reports);
    if ('workflow' in wait) return waiting;
    const status = reports.host(wait.host);
    if (status === undefined) return gone(`The host ${wait.host}`);
    return status !== null && status.observedGeneration >= wait.generation
      ? { state: 'reached', message: `host ${wait.host} has generation ${wait.generation}` }
      : waiting;
  });
