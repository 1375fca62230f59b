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

/** How long was measured, ms, and how often. */
export interface Measuring {
  readonly before: number;
  readonly during: number;
  readonly after: number;
  /** Datagrams a second. */
  readonly rate: number;
}

export interface RouterVerdict {
  readonly ok: boolean;
  /** Why not; empty when it is well. */
  readonly reasons: readonly string[];
  /** What could not be judged, and why. What should have been and was not stands among the reasons, too. */
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

/** Less than this share of what a probe sends in a time, and that time was not seen. */
const SEEN = 0.5;
/** Fewer than this are sent at random times: none of them proves nothing. */
const FEW = 4;

/**
 * Why what was measured in some time does not show that time; null when it does. A probe that is started anew has lost what it
 * measured, and one that gets no processor time skips what it missed: either way fewer were sent than should have been.
 */
const unseen = (
  kind: ProbeKind,
  when: 'during' | 'after',
  reading: Measured,
  before: Measured,
  { rate, ...lengths }: Measuring,
): string | null => {
  // How often the others are sent only their probe knows.
  const perMs = kind === 'datagrams' ? rate / 1000 : before.sent / Math.max(1, lengths.before);
  const due = Math.floor(perMs * lengths[when]);
  if (due < FEW || reading.sent >= due * SEEN) return null;
  const time = when === 'during' ? 'while it was upgraded' : 'after it was upgraded';
  return `only ${reading.sent} of about ${due} ${names[kind]} were sent ${time}: its probe was started anew, or got too little processor time`;
};

/** Why a reading does not show the time it is of, one text for each kind that could be measured before. */
export const notSeen = (
  before: ProbeReading,
  when: 'during' | 'after',
  reading: ProbeReading | null,
  measuring: Measuring,
): string[] =>
  KINDS.filter((kind) => isMeasurable(before[kind])).flatMap((kind) =>
    reading === null
      ? `${names[kind]} could be measured before, and not since`
      : (unseen(kind, when, reading[kind], before[kind], measuring) ?? []),
  );

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
  if (sent > 0 && lost / sent > allowed)
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
 * before and not after, or that shows too little, is held against it: what cannot be seen is not called well.
 */
export const judge = (
  { before, during, after }: Readings,
  health: readonly HealthCheck[] | null,
  limits: VerdictLimits,
  measuring: Measuring,
): RouterVerdict => {
  const reasons: string[] = [];
  const notMeasured: string[] = [];
  if (before === null) notMeasured.push('there is no measurement of before');
  else {
    const blind = new Set([
      ...notSeen(before, 'during', during, measuring),
      ...notSeen(before, 'after', after, measuring),
    ]);
    for (const kind of KINDS) {
      if (!isMeasurable(before[kind])) notMeasured.push(unmeasurable(kind, before[kind]));
      else if (during !== null && after !== null) {
        reasons.push(...against(kind, before[kind], [during[kind], after[kind]], after[kind], limits));
        if (blind.size === 0 && during[kind].sent + after[kind].sent === 0)
          blind.add(`no ${names[kind]} were sent while it was upgraded, nor afterwards`);
      }
    }
    notMeasured.push(...blind);
    reasons.push(...blind);
  }
  if (health === null) reasons.push('its health checks do not answer');
  else reasons.push(...unhealthy(health).map((reason) => `health check ${reason}`));
  return { ok: reasons.length === 0, reasons, notMeasured };
};

/** Whether nothing speaks against a router but that it was not seen. */
export const isBlind = ({ reasons, notMeasured }: RouterVerdict): boolean =>
  reasons.length > 0 && reasons.every((reason) => notMeasured.includes(reason));
