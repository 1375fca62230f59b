/** Whether a router is as good after its upgrade as before, from what probes measured through it and what it says of itself. Pure. */
import type { HealthCheck, Measured, ProbeReading } from 'documents';
import { unhealthy } from './readiness.ts';

export const KINDS = ['datagrams', 'connections', 'names'] as const;
export type ProbeKind = (typeof KINDS)[number];

export interface VerdictLimits {
  /** Most that may be lost beyond what was lost before, as a share: 0.001 is one in a thousand. */
  readonly loss: number;
  /** Most the slowest of a hundred may take afterwards, as a multiple of before. */
  readonly latencyFactor: number;
}

/** Readings of one router; null: there is none. */
export interface Readings {
  readonly before: ProbeReading | null;
  readonly during: ProbeReading | null;
  readonly after: ProbeReading | null;
}

export interface RouterVerdict {
  readonly ok: boolean;
  /** Why not; empty when it is well. */
  readonly reasons: readonly string[];
  /** What could not be judged, and why. */
  readonly notMeasured: readonly string[];
}

/** A busy host alone makes a fast answer this much slower now and then, µs. */
const SLACK = 5000;

const names: Readonly<Record<ProbeKind, string>> = {
  datagrams: 'datagrams',
  connections: 'new connections',
  names: 'name queries',
};

const share = ({ sent, lost }: Measured): number => (sent === 0 ? 0 : lost / sent);
const percent = (part: number): string => `${Number((part * 100).toFixed(3))} %`;

/** Whether a kind can be judged by: most of it came back before anything was done. */
export const isMeasurable = (before: Measured): boolean => before.sent > 0 && share(before) < 0.5;

const unmeasurable = (kind: ProbeKind, before: Measured): string =>
  before.sent === 0
    ? `${names[kind]} are not sent here`
    : `${before.lost} of ${before.sent} ${names[kind]} were lost before anything was done`;

/** What one kind of measurement says against a router. */
const against = (
  kind: ProbeKind,
  before: Measured,
  later: readonly Measured[],
  last: Measured,
  limits: VerdictLimits,
): string[] => {
  const reasons: string[] = [];
  const sent = later.reduce((sum, part) => sum + part.sent, 0);
  const lost = later.reduce((sum, part) => sum + part.lost, 0);
  const doubled = later.reduce((sum, part) => sum + part.doubled, 0);
  const allowed = limits.loss + share(before);
  if (sent === 0) reasons.push(`no ${names[kind]} were sent while it was upgraded`);
  else if (lost / sent > allowed)
    reasons.push(
      `${lost} of ${sent} ${names[kind]} were lost (${percent(lost / sent)}, ${percent(allowed)} allowed)`,
    );
  if (doubled > 0 && doubled / sent > limits.loss && before.doubled === 0)
    reasons.push(`${doubled} of ${sent} ${names[kind]} were answered twice`);
  if (kind === 'datagrams' && before.p99 !== null && last.p99 !== null) {
    const most = before.p99 * limits.latencyFactor + SLACK;
    if (last.p99 > most)
      reasons.push(
        `its 99th percentile is ${last.p99} µs, it was ${before.p99} µs (${Math.round(most)} µs allowed)`,
      );
  }
  return reasons;
};

/**
 * Judges one router. Without a reading from before nothing measured can be held against it; a reading that was to be had
 * before and not after is held against it: what cannot be seen is not called well.
 */
export const judge = (
  { before, during, after }: Readings,
  health: readonly HealthCheck[] | null,
  limits: VerdictLimits,
): RouterVerdict => {
  const reasons: string[] = [];
  const notMeasured: string[] = [];
  if (before === null) notMeasured.push('there is no measurement of before');
  else
    for (const kind of KINDS) {
      if (!isMeasurable(before[kind])) notMeasured.push(unmeasurable(kind, before[kind]));
      else if (during === null || after === null)
        reasons.push(`${names[kind]} could be measured before, and not since`);
      else reasons.push(...against(kind, before[kind], [during[kind], after[kind]], after[kind], limits));
    }
  if (health === null) reasons.push('its health checks do not answer');
  else reasons.push(...unhealthy(health).map((reason) => `health check ${reason}`));
  return { ok: reasons.length === 0, reasons, notMeasured };
};
