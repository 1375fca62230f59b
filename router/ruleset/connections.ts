import type { RouterDocument } from 'documents';
import type { ConntrackEntry } from 'node-netlink';
import type { System } from '../system.ts';
import type { Connection } from './connection.ts';
import type { RulesetFeature } from './ruleset-feature.ts';

const protocols: Readonly<Record<number, Connection['protocol']>> = { 1: 'icmp', 6: 'tcp', 17: 'udp' };

/** linux/netfilter/nf_conntrack_common.h: came about through another connection, which is what is judged. */
const IPS_EXPECTED = 0x1;

const connectionOf = ({ original, reply }: ConntrackEntry): Connection => ({
  protocol: protocols[original.protocol] ?? 'other',
  source: original.source,
  destination: original.destination,
  sourcePort: original.sourcePort ?? 0,
  destinationPort: original.destinationPort ?? 0,
  icmpType: original.icmp?.type ?? 0,
  icmpCode: original.icmp?.code ?? 0,
  replySource: reply.source,
  replyDestination: reply.destination,
  replySourcePort: reply.sourcePort ?? 0,
});

/**
 * Cuts the connections that what is gone had let through and that nothing allows any more; others are not touched.
 * `before` is null when it is not known what was in force: then every connection is judged.
 *
 * @returns how many connections were cut
 */
export const cutRevoked = (
  system: System,
  features: readonly RulesetFeature[],
  before: RouterDocument | null,
  next: RouterDocument,
): number => {
  const tests = features.flatMap((feature) => feature.revoked?.(before, next) ?? []);
  if (tests.length === 0 || system.conntrack.count() === 0) return 0;
  const revoked = system.conntrack.dump({ family: 'ipv4' }).filter((entry) => {
    if ((entry.status & IPS_EXPECTED) !== 0) return false;
    const connection = connectionOf(entry);
    return tests.some((test) => test(connection));
  });
  return revoked.length === 0 ? 0 : system.conntrack.remove(revoked);
};
