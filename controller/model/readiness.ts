/** Whether a successor may take over. Pure: from what it and its host say. */
import type { HealthCheck, HostStatus, RouterStatus } from 'documents';
import { faults } from './conditions.ts';

/**
 * Checks whose answers come to the active router for as long as the successor is not it: both have the same MACs. They
 * say nothing of a successor, and count as soon as it serves.
 */
const answeredElsewhere = /^(?:gateway|load balancer) /;

export interface SuccessorReport {
  readonly generation: number;
  readonly status: RouterStatus | null;
  readonly hostGeneration: number;
  readonly host: HostStatus | null;
}

/** Why it is not ready as far as reports tell; empty when they tell that it is. Then its health is asked for. */
export const notReported = (
  id: string,
  { generation, status, hostGeneration, host }: SuccessorReport,
): string[] => {
  const machine = host?.machines.find((candidate) => candidate.id === id);
  if (machine?.state === 'failed')
    return [`its machine failed: ${machine.message || 'the host does not say why'}`];
  if ((host?.observedGeneration ?? 0) < hostGeneration) return ['its host has not made its machine yet'];
  if (status === null) return ['its daemon has not reported yet'];
  const wrong = faults(status.conditions).filter(
    ({ reason }) => reason !== 'Starting' && reason !== 'NotReported',
  );
  if (status.appliedGeneration < generation)
    return [
      `it has generation ${status.appliedGeneration} of ${generation} in force`,
      ...wrong.map(({ message, reason }) => message || reason),
    ];
  const ready = status.conditions.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True') return [];
  return [ready === undefined ? 'it does not say that it is ready' : ready.message || ready.reason];
};

/** Why it is not ready as far as its health checks tell. */
export const unhealthy = (checks: readonly HealthCheck[]): string[] =>
  checks
    .filter(({ name, status }) => status === 'fail' && !answeredElsewhere.test(name))
    .map(({ name, message }) => `${name}: ${message}`);
