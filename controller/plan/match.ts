import type { scalars } from 'documents';

/** Ports and ICMP of a rule, each only where its protocol has it. Absent ports mean all. */
export const planMatch = (rule: {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'all';
  readonly firstPort: number | null;
  readonly lastPort: number | null;
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
}): { ports?: scalars.PortRange; icmp?: scalars.Icmp } => {
  switch (rule.protocol) {
    case 'tcp':
    case 'udp':
      return rule.firstPort === null
        ? {}
        : { ports: { first: rule.firstPort, last: rule.lastPort ?? rule.firstPort } };
    case 'icmp':
      return { icmp: { type: rule.icmpType, code: rule.icmpCode } };
    case 'all':
      return {};
  }
};
