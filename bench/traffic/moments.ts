/** When what was lost was lost. */
import type { Moment, TrafficReport } from './report.ts';

export interface Loss extends Moment {
  /** `traffic udp in`, `traffic flows port-forward` ..., as in the verdict. */
  readonly of: string;
  /** How many of the same there were within a moment. */
  readonly times: number;
}

/** The same so soon after, ms, is the same moment. */
const MOMENT = 100;

/** What came together as one. In order of time, as given. */
const together = (moments: readonly (Moment & { readonly of: string })[]): readonly Loss[] => {
  const losses: { at: number; what: string; of: string; times: number }[] = [];
  const open = new Map<string, { readonly loss: { times: number }; last: number }>();
  for (const { at, what, of } of moments) {
    const key = `${of}: ${what}`;
    const known = open.get(key);
    if (known !== undefined && at - known.last <= MOMENT) {
      known.loss.times += 1;
      known.last = at;
      continue;
    }
    const loss = { at, what, of, times: 1 };
    losses.push(loss);
    open.set(key, { loss, last: at });
  }
  return losses;
};

/** Everything of which a report says when it was, in order of time. Pure. */
export const momentsOfLoss = (report: TrafficReport): readonly Loss[] => {
  const of = (name: string, moments: readonly Moment[]) => moments.map((moment) => ({ of: name, ...moment }));
  const moments = [
    ...report.probes.flatMap(({ label, protocol, direction, outages }) =>
      of(
        `${label} ${protocol} ${direction}`,
        outages.map(({ at, lost, duration }) => ({ at, what: `${lost} lost in a row, for ${duration} ms` })),
      ),
    ),
    ...report.flows.flatMap(({ label, way, moments }) => of(`${label} flows ${way}`, moments)),
    ...report.connections.flatMap(({ label, way, moments }) => of(`${label} connections ${way}`, moments)),
    ...report.bulk.flatMap(({ label, moments }) => of(`${label} bulk`, moments)),
    ...[...report.dns, ...report.dhcp].flatMap(({ label, kind, moments }) => of(`${label} ${kind}`, moments)),
  ];
  return together(moments.toSorted((a, b) => a.at - b.at));
};
