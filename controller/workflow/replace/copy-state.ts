import { AgentError } from '../../deliver/agent-error.ts';
import type { WorkflowLink } from '../step.ts';
import type { Copied } from './state.ts';

/** An entry that a router did not take, in its own words. */
export type Refusal = string | Readonly<Record<string, unknown>>;

const count = (value: unknown): number => (typeof value === 'number' && value >= 0 ? value : 0);

/** At most so many refusals are kept. */
const REFUSALS_KEPT = 20;

/**
 * Has a host copy connections, neighbours and leases from one of its routers to another.
 * @throws {AgentError} when it could not.
 */
export const copyState = async (
  link: WorkflowLink,
  host: string,
  from: string,
  to: string,
): Promise<Copied> => {
  const result = await link.copyState(host, from, to);
  if (typeof result !== 'object' || result === null)
    throw new AgentError('AGENT_REFUSED', 'The agent did not say what was copied');
  const { inserted, present, refused } = result as Record<string, unknown>;
  return {
    inserted: count(inserted),
    present: count(present),
    refused: Array.isArray(refused) ? (refused as Refusal[]).slice(0, REFUSALS_KEPT) : [],
  };
};

export const describeCopied = ({ inserted, present, refused }: Copied): string =>
  `${inserted} connections carried over, ${present} were there${refused.length === 0 ? '' : `, ${refused.length} refused`}`;
