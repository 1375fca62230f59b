import type { Segment } from 'documents';
import { byId } from './by-id.ts';
import type { HostFacts } from './facts.ts';
import { derivedId, idTail } from './ids.ts';

/** Id of the segment of a network, or of the public segment of a zone. */
export const segmentId = (networkOrZone: string): string => derivedId('seg', networkOrZone);

/**
 * A segment for each implemented network with machines here. The public segment is there as soon as the zone has a
 * public range: what stands for the outside on this host attaches to it before the first router comes.
 */
export const planSegments = (facts: HostFacts): Segment[] => {
  const segments: Segment[] = [];
  for (const network of facts.networks) {
    if (network.vni === null) continue;
    segments.push({
      id: segmentId(network.id),
      role: 'guest',
      device: `br${idTail(network.id)}`,
      mtu: network.mtu,
      vni: network.vni,
    });
  }
  if (facts.zone.hasPublicRange || facts.ports.some((port) => port.role === 'router-public')) {
    segments.push({
      id: segmentId(facts.zone.id),
      role: 'public',
      device: `br${idTail(facts.zone.id)}`,
      mtu: facts.zone.publicMtu,
      vni: null,
    });
  }
  return byId(segments);
};
