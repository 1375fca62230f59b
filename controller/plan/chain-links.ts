import type { ChainRouter, RouterPort } from './facts.ts';
import { derivedId } from './ids.ts';

/** One end of a link between two routers of a network. */
export interface ChainLinkEnd {
  readonly router: string;
  /** Id of the router's port, which is the id of its leg. */
  readonly leg: string;
  readonly mac: string;
  readonly address: string;
}

/** One private wire between two neighbours in the chain of a network's routers, for the packets of one kind of leg. */
export interface ChainLink {
  readonly id: string;
  readonly role: RouterPort['role'];
  /** The same name in both routers. */
  readonly device: string;
  readonly ends: readonly [ChainLinkEnd, ChainLinkEnd];
}

/** A router has at most so many legs in a hand-over, and a chain at most so many pairs at a time. */
const LEGS = 8;
const PAIRS = 16;
const roles = ['router-guest', 'router-public'] as const;

const hex = (value: number): string => value.toString(16).padStart(2, '0');

/**
 * The links between two neighbours, the same whichever is named first and whichever is the older: when a replacement is
 * taken back the two change places, and their wires stay. Addresses are /31s (RFC 3021) of 169.254.77.0/24, which nothing
 * routes; a number taken again after sixteen pairs is long free.
 */
export const chainLinks = (a: ChainRouter, b: ChainRouter): ChainLink[] => {
  const [first, second] = a.id < b.id ? [a, b] : [b, a];
  // The one that was made to stand beside the other: its ports name the wires, for nobody else's pair is named by them.
  const born = first.createdAt > second.createdAt ? first : second;
  const pair = Math.min(a.ordinal, b.ordinal) % PAIRS;
  return roles.flatMap((role, leg) => {
    const port = (router: ChainRouter) => router.ports.find((candidate) => candidate.role === role);
    const [one, other, own] = [port(first), port(second), port(born)];
    if (one === undefined || other === undefined || own === undefined) return [];
    const end = (router: ChainRouter, id: string, side: 0 | 1): ChainLinkEnd => ({
      router: router.id,
      leg: id,
      mac: `02:53:4c:${hex(pair)}:${hex(leg)}:${hex(side + 1)}`,
      address: `169.254.77.${(pair * LEGS + leg) * 2 + side}`,
    });
    return [
      {
        id: derivedId('lnk', own.id),
        role,
        device: `link${pair}-${leg}`,
        ends: [end(first, one.id, 0), end(second, other.id, 1)],
      },
    ];
  });
};
