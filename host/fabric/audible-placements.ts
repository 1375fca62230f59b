/** Keeps a half-failed apply from leaving a segment without anybody who hears broadcast. Pure. */
import type { SegmentPort } from 'documents';
import type { FabricAction, FabricDiff, FabricProblem } from './diff.ts';

/**
 * The placements of a diff without those that silence a port of a segment in which a port that is to get broadcast could
 * not be had. Both get it then, until the next pass.
 */
export const audiblePlacements = (
  { placements, problems }: Pick<FabricDiff, 'placements' | 'problems'>,
  ports: readonly SegmentPort[],
  failures: readonly FabricProblem[],
): readonly FabricAction[] => {
  const failed = new Set([...problems, ...failures].map(({ subject }) => subject));
  if (failed.size === 0) return placements;
  const unheard = new Set(
    ports.filter((port) => port.active && failed.has(port.id)).map((port) => port.segment),
  );
  return placements.filter(
    (action) => action.type !== 'set-flooding' || action.port.active || !unheard.has(action.port.segment),
  );
};
