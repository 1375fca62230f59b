/** The egress feature reads what guests of a leg may reach outside. */
import type { RouterDocument } from 'documents';

export { EgressPolicy, EgressRule } from 'documents';
export type EgressDocument = Pick<RouterDocument, 'legs' | 'handover' | 'egressPolicies' | 'egressRules'>;
