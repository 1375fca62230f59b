import type { Handover, HandoverLink } from 'documents';
import { byId } from './by-id.ts';
import { chainLinks } from './chain-links.ts';
import type { ChainRouter, RouterFacts } from './facts.ts';

const linksTo = (own: ChainRouter, neighbour: ChainRouter | null): HandoverLink[] =>
  neighbour === null
    ? []
    : byId(
        chainLinks(own, neighbour).map(({ id, device, ends }) => {
          const [here, there] = ends[0].router === own.id ? ends : [ends[1], ends[0]];
          return {
            id,
            leg: here.leg,
            device,
            mac: here.mac,
            address: `${here.address}/31`,
            peer: there.address,
            peerMac: there.mac,
          };
        }),
      );

/** A router's place in the chain; undefined when it is the only one, or the others no longer matter to it. */
export const planHandover = ({ router, ports, neighbours }: RouterFacts): Handover | undefined => {
  if (neighbours.older === null && neighbours.newer === null) return undefined;
  const own = { ...router, ports };
  return { older: linksTo(own, neighbours.older), newer: linksTo(own, neighbours.newer) };
};
