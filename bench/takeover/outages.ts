/** How long each of several events kept probes from being answered. */
import type { TrafficReport } from '../traffic/report.ts';

/** A loss that begins this long, ms, before an event as the other process saw it is its own all the same. */
const BEFORE = 100;

/**
 * Longest outage of any probe that began between each event and the next; 0 where no probe was lost. `events`: ms since
 * the load began.
 */
export const outageOfEach = (report: TrafficReport, events: readonly number[]): readonly number[] =>
  events.map((event, index) => {
    const next = events[index + 1] ?? Infinity;
    const own = report.probes
      .flatMap(({ outages }) => outages)
      .filter(({ at }) => at >= event - BEFORE && at < next - BEFORE);
    return Math.max(0, ...own.map(({ duration }) => duration));
  });
