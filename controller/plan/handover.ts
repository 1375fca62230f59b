import type { Handover, HandoverLink } from 'documents';
import { byId } from './by-id.ts';
import { chainLinks } from './chain-links.ts';
import type { ChainRouter, RouterFacts } from './facts.ts';

const linksTo = (own: ChainRouter, neighbour: ChainRouter | null): HandoverLink[] =>
  neighbour === null
    ? []
    : chainLinks(own, neighbour).map(({ id, device, ends }) => {
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
      });

/** The ways of one side: to the neighbour, and from a router further on whose packets are only taken. */
const side = (own: ChainRouter, neighbour: ChainRouter | null, heard: ChainRouter | null): HandoverLink[] =>
  byId([
    ...linksTo(own, neighbour),
    ...(heard?.id === neighbour?.id
      ? []
      : linksTo(own, heard).map((link) => ({ ...link, receiveOnly: true }))),
  ]);

/** A router's place in the chain; undefined when it is the only one, or the others no longer matter to it. */
export const planHandover = ({ router, ports, neighbours }: RouterFacts): Handover | undefined => {
  const { older, newer, heardOlder, heardNewer } = neighbours;
  if (older === null && newer === null && heardOlder === null && heardNewer === null) return undefined;
  const own = { ...router, ports };
  return { older: side(own, older, heardOlder), newer: side(own, newer, heardNewer) };
};
