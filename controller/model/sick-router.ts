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
  // A document that does not apply would not in another router either; whoever changed it was told.
  if (status.observedGeneration > status.appliedGeneration) return [];
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

/** Complaints that were there before keep their time; those that went are forgotten. */
export const ailmentsAfter = (before: Ailments, found: readonly string[], now: number): Ailments =>
  new Map(found.map((complaint) => [complaint, before.get(complaint) ?? now]));

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
