/** The firewall reads the rules that open public addresses, and the load balancers: their ports are opened on the router itself. */
import type { RouterDocument } from 'documents';

export { FirewallRule } from 'documents';
export type FirewallDocument = Pick<RouterDocument, 'legs' | 'firewallRules' | 'loadBalancers'>;
