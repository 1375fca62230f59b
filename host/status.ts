/** What the agent says of itself: conditions from outcomes. Pure. */
import type { Condition, Failover, HostStatus, MachineStatus, Problem, StandbyStatus } from 'documents';

/** What came of one matter: well, or the items that are not, each with its reason. */
export interface Outcome {
  readonly failures: readonly { readonly subject: string; readonly message: string }[];
}

export interface HostFacts {
  readonly id: string;
  readonly version: string;
  readonly startedAt: number;
  /** Generation that was placed last. */
  readonly generation: number;
  /** Generation whose apply ended last, well or not, which the conditions are about; the same if not said. */
  readonly tried?: number;
  /** Problems of the last document that was refused, and its generation; null when the last one was taken. */
  readonly refused: { readonly generation: number; readonly problems: readonly Problem[] } | null;
  readonly fabric: Outcome;
  readonly security: Outcome;
  readonly machines: Outcome;
  readonly machineStatuses: readonly MachineStatus[];
  /** What a router machine made now is made from. */
  readonly image?: string;
  /** Those that the document does not know of yet. */
  readonly failovers?: readonly Failover[];
  readonly standbys?: readonly StandbyStatus[];
}

/** Conditions keep messages short enough to be read. */
const MOST_NAMED = 10;

const told = (failures: Outcome['failures']): string => {
  const named = failures.slice(0, MOST_NAMED).map(({ subject, message }) => `${subject}: ${message}`);
  const more = failures.length - named.length;
  return `${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}`.slice(0, 4000);
};

/** Conditions with the time they changed last, taken from those before. */
export const hostConditions = (facts: HostFacts, before: readonly Condition[], now: number): Condition[] => {
  const statement = (
    type: string,
    well: boolean,
    reason: string,
    message: string,
    generation = facts.tried ?? facts.generation,
  ): Condition => {
    const status = well ? 'True' : 'False';
    const earlier = before.find((condition) => condition.type === type);
    const lastTransitionTime = earlier?.status === status ? earlier.lastTransitionTime : now;
    return { type, status, reason, message, observedGeneration: generation, lastTransitionTime };
  };
  const matter = (type: string, { failures }: Outcome, good: string): Condition =>
    failures.length === 0
      ? statement(type, true, 'AsWanted', good)
      : statement(type, false, 'ItemsFailed', told(failures));
  const { refused } = facts;
  const accepted =
    refused === null
      ? statement('DocumentAccepted', true, 'Verified', 'The last document verified')
      : statement(
          'DocumentAccepted',
          false,
          'DoesNotVerify',
          told(
            refused.problems.map(({ pointer, message, hint }) => ({
              subject: pointer,
              message: `${message}. ${hint}`,
            })),
          ),
          refused.generation,
        );
  const parts = [
    accepted,
    matter('FabricApplied', facts.fabric, 'Segments, ports, links and forwarding entries are as wanted'),
    matter('PortSecurityApplied', facts.security, 'Every port has its rules'),
    matter('MachinesApplied', facts.machines, 'Machines run or rest as wanted'),
  ];
  const bad = parts.filter((condition) => condition.status === 'False').map((condition) => condition.type);
  return [
    statement(
      'Ready',
      bad.length === 0,
      bad.length === 0 ? 'AsWanted' : 'NotAsWanted',
      bad.length === 0 ? 'Everything is as the document wants it' : `See ${bad.join(', ')}`,
    ),
    ...parts,
  ];
};

/** The whole status document. */
export const hostStatus = (facts: HostFacts, conditions: readonly Condition[]): HostStatus => ({
  id: facts.id,
  observedGeneration: facts.generation,
  version: facts.version,
  startedAt: facts.startedAt,
  conditions: [...conditions],
  machines: [...facts.machineStatuses],
  ...(facts.image === undefined ? {} : { image: facts.image }),
  ...(facts.failovers === undefined || facts.failovers.length === 0
    ? {}
    : { failovers: [...facts.failovers] }),
  ...(facts.standbys === undefined || facts.standbys.length === 0 ? {} : { standbys: [...facts.standbys] }),
});
