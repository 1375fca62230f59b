import type { ChainRouter, RouterPort } from './facts.ts';
import { idTail } from './ids.ts';

/** One end of a link between two routers of a network. */
export interface ChainLinkEnd {
  readonly router: string;
  /** Id of the router's port, which is the id of its leg. */
  readonly leg: string;
  readonly mac: string;
  readonly address: string;
}

/** One private wire between two routers of a network's chain, for the packets of one kind of leg. */
export interface ChainLink {
  readonly id: string;
  readonly role: RouterPort['role'];
  /** The same name in both routers. */
  readonly device: string;
  readonly ends: readonly [ChainLinkEnd, ChainLinkEnd];
}

const roles = ['router-guest', 'router-public'] as const;
const SIDES = 2;

/**
 * Ordinals are taken modulo this: two routers of one network whose ordinals are so far apart are never there together, for
 * one would have outlived 4096 replacements.
 */
const ORDINALS = 4096;

/**
 * The links between two routers of a network, the same whichever is named first and whatever their places in the chain: when
 * a replacement is taken back the two change places, and their wires stay.
 *
 * While a router leaves from the middle of a chain, its neighbours have wires to it and to each other, so everything is the
 * pair's own: the id is made of both ports', device and MAC of both ordinals. The address is made of the ordinals' sum, which
 * no two wires of one router have in common; two wires without a common router may, and do not meet. Addresses are /31s
 * (RFC 3021) of 169.254.0.0/18, which nothing routes.
 */
export const chainLinks = (a: ChainRouter, b: ChainRouter): ChainLink[] => {
  const [first, second] = a.id < b.id ? [a, b] : [b, a];
  const [low, high] = [a.ordinal, b.ordinal]
    .toSorted((one, other) => one - other)
    .map((ordinal) => (ordinal % ORDINALS).toString(16).padStart(3, '0')) as [string, string];
  const pair = (a.ordinal + b.ordinal) % ORDINALS;
  const digits = `${low}${high}`;
  return roles.flatMap((role, leg) => {
    const port = (router: ChainRouter) => router.ports.find((candidate) => candidate.role === role);
    const [one, other] = [port(first), port(second)];
    if (one === undefined || other === undefined) return [];
    const end = (router: ChainRouter, id: string, side: 0 | 1): ChainLinkEnd => {
      const number = (pair * roles.length + leg) * SIDES + side;
      return {
        router: router.id,
        leg: id,
        mac: `02:53:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4)}:${leg}${side}`,
        address: `169.254.${number >> 8}.${number & 0xff}`,
      };
    };
    return [
      {
        id: `lnk-${idTail(one.id)}-${idTail(other.id)}`,
        role,
        device: `link${low}-${high}-${leg}`,
        ends: [end(first, one.id, 0), end(second, other.id, 1)],
      },
    ];
  });
};
