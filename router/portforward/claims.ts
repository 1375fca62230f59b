/** Who claims which ports of a public address: port forwards and static NATs must not meet. Load balancers check theirs. Pure. */
import type { PortForward, Problem, StaticNat } from 'documents';
import { PortIndex } from '../document/port-index.ts';

/** A stretch of ports of an address that leads somewhere. */
export interface Claim {
  readonly kind: 'port forward' | 'static NAT';
  readonly id: string;
  readonly address: string;
  /** null for every protocol. */
  readonly protocol: 'tcp' | 'udp' | null;
  readonly first: number;
  readonly last: number;
}

/** What a port forward claims. */
export const forwardClaim = ({ id, publicAddress, protocol, publicPorts }: PortForward): Claim => ({
  kind: 'port forward',
  id,
  address: publicAddress,
  protocol,
  first: publicPorts.first,
  last: publicPorts.last,
});

/** What a static NAT claims: everything. */
export const natClaim = ({ id, publicAddress }: StaticNat): Claim => ({
  kind: 'static NAT',
  id,
  address: publicAddress,
  protocol: null,
  first: 1,
  last: 65_535,
});

const meet = (a: Claim, b: Claim): boolean =>
  a.address === b.address &&
  a.first <= b.last &&
  b.first <= a.last &&
  (a.protocol === null || b.protocol === null || a.protocol === b.protocol);

const where = (a: Claim, b: Claim): string => {
  const protocol = a.protocol ?? b.protocol;
  if (protocol === null) return a.address;
  const first = Math.max(a.first, b.first);
  const last = Math.min(a.last, b.last);
  return `${a.address} ${protocol} ${first === last ? `port ${first}` : `ports ${first}-${last}`}`;
};

/** The problem of a claim that meets another one. */
export const claimProblem = (pointer: string, claim: Claim, other: Claim): Problem => ({
  pointer,
  code: 'conflicting-rule',
  message: `The ${claim.kind} ${claim.id} and the ${other.kind} ${other.id} both claim ${where(claim, other)}`,
  hint: `Change the ports or the address of one, or remove ${other.id}.`,
});

/** First claim in `claims` that meets `claim`, by comparing with each. */
export const meeting = (claim: Claim, claims: readonly Claim[]): Claim | undefined =>
  claims.find((other) => meet(claim, other) && !(other.id === claim.id && other.kind === claim.kind));

/** Every claim that meets another one, with it: by index and sorting, for documents as a whole. */
export const meetings = (
  forwards: readonly PortForward[],
  nats: readonly StaticNat[],
): (readonly [later: Claim, earlier: Claim])[] => {
  const found: (readonly [Claim, Claim])[] = [];
  const wide = new Map<string, Claim[]>();
  const widen = (claim: Claim): void => {
    const list = wide.get(claim.address);
    if (list === undefined) wide.set(claim.address, [claim]);
    else list.push(claim);
  };
  const ports = new PortIndex();
  const single = new Set<number>();
  for (const forward of forwards) {
    const { publicAddress, protocol, publicPorts } = forward;
    if (publicPorts.first !== publicPorts.last) {
      widen(forwardClaim(forward));
      continue;
    }
    const key = ports.keyOf(publicAddress, protocol, publicPorts.first);
    if (single.has(key)) {
      const claim = forwardClaim(forward);
      const other = meeting(claim, forwards.map(forwardClaim));
      if (other !== undefined) found.push([claim, other]);
    }
    single.add(key);
  }
  for (const nat of nats) widen(natClaim(nat));
  if (wide.size === 0) return found;
  for (const forward of forwards) {
    const list = wide.get(forward.publicAddress);
    if (list === undefined || forward.publicPorts.first !== forward.publicPorts.last) continue;
    const claim = forwardClaim(forward);
    const other = list.find((one) => meet(claim, one));
    if (other !== undefined) found.push([claim, other]);
  }
  for (const list of wide.values()) {
    list.sort((a, b) => a.first - b.first || b.last - a.last);
    // The claims that reach furthest so far, one for each protocol: whoever starts before their end meets them.
    const reach = new Map<Claim['protocol'], Claim>();
    for (const claim of list) {
      const other = [...reach.values()].find((one) => meet(claim, one));
      if (other !== undefined) found.push([claim, other]);
      const furthest = reach.get(claim.protocol);
      if (furthest === undefined || furthest.last < claim.last) reach.set(claim.protocol, claim);
    }
  }
  return found;
};
