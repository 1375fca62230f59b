/** Whether a router is alive but sick, so that another had better serve. Pure: judged from what is reported and for how long. */
import type { HealthCheck, RouterStatus } from 'documents';
import { faults } from './conditions.ts';

export interface SicknessLimits {
  /** A daemon that is not heard and does not answer for so long is hung, ms. */
  readonly silent: number;
  /** Something that is not well and does not heal for so long will not, ms. */
  readonly unwell: number;
}

export const SICKNESS: SicknessLimits = { silent: 30_000, unwell: 60_000 };

/** What a fresh router would suffer from, too: it is not the router that is sick. */
const elsewhere = /^(?:gateway|load balancer|disk)\b/;

/** What is wrong with a router by its own report, one text for each matter; their order has no meaning. */
export const complaints = (status: RouterStatus): string[] => {
  const failing = status.health
    .filter(({ name, status: found }: HealthCheck) => found === 'fail' && !elsewhere.test(name))
    .map(({ name }) => `its health check ${name} fails`);
  const wrong = faults(status.conditions)
    .filter(({ reason }) => reason !== 'Starting' && reason !== 'NotReported')
    .map(({ type, reason }) => `${type} is not well (${reason})`);
  return [...new Set([...wrong, ...failing])];
};

/** Since when each complaint lasts, ms since the epoch. */
export type Ailments = ReadonlyMap<string, number>;

/**
 * Whether what a router complains of may be its document: it has one that it could not apply, and none of its network's
 * routers ever had that one in force. Another router would have the same trouble with it, so that replacing this one would go
 * on for ever; whoever changed the document was told. `proved`: the latest generation that any of them had in force.
 */
export const isDoubtful = (
  status: Pick<RouterStatus, 'observedGeneration' | 'appliedGeneration'>,
  proved: number,
): boolean => status.observedGeneration > Math.max(status.appliedGeneration, proved);

/**
 * Complaints that were there before keep their time; those that went are forgotten. While the document is `doubtful` no new
 * ones are taken up: they may be its own. What a router suffered from before it came is the router's all the same.
 */
export const ailmentsAfter = (
  before: Ailments,
  found: readonly string[],
  now: number,
  doubtful = false,
): Ailments =>
  new Map(
    found
      .filter((complaint) => !doubtful || before.has(complaint))
      .map((complaint) => [complaint, before.get(complaint) ?? now]),
  );

export interface Patient {
  /** When it was last heard, or had to be for the first time, ms since the epoch. */
  readonly heardAt: number;
  /** Whether its daemon answered when it was asked just now; null: not asked. */
  readonly answers: boolean | null;
  readonly ailments: Ailments;
}

/** Whether it has not been heard for so long that it is to be asked. */
export const isSilent = (
  { heardAt }: Pick<Patient, 'heardAt'>,
  now: number,
  limits: SicknessLimits,
): boolean => now - heardAt >= limits.silent;

/** Why a router is to be replaced, null when it is not. Only for routers whose host is heard of. */
export const sickness = (patient: Patient, now: number, limits: SicknessLimits): string | null => {
  const seconds = (since: number): string => `${Math.round((now - since) / 1000)} s`;
  if (isSilent(patient, now, limits) && patient.answers === false)
    return `its daemon has not been heard for ${seconds(patient.heardAt)}, and does not answer`;
  const [oldest] = [...patient.ailments].sort(([, a], [, b]) => a - b);
  if (oldest === undefined || now - oldest[1] < limits.unwell) return null;
  return `${oldest[0]} for ${seconds(oldest[1])}`;
};
