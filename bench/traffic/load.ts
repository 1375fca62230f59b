/** How much of which traffic. What is left out is not sent. */

/** `out`: a guest asks the internet, through source NAT. `in`: the internet asks a guest, through static NAT. */
export type Direction = 'out' | 'in';

export interface ProbeLoad {
  /** Probes a second, in each direction. */
  readonly rate: number;
  /** Both when left out. */
  readonly directions?: readonly Direction[];
}

export interface Load {
  /** ICMP echo. Inwards the guest's kernel answers. */
  readonly icmp?: ProbeLoad;
  /** UDP echo. */
  readonly udp?: ProbeLoad;
  /** Long TCP flows by the way they take: how many, each echoing 64 bytes every `intervalMs` (50). */
  readonly flows?: {
    readonly sourceNat?: number;
    readonly portForward?: number;
    readonly staticNat?: number;
    /** Through the load balancer, which ends TCP: two connections each. */
    readonly loadBalancer?: number;
    readonly intervalMs?: number;
  };
  /** New connections a second, a third each through source NAT, port forward and load balancer, `lifeMs` (300) long. */
  readonly connections?: { readonly rate: number; readonly lifeMs?: number };
  /** One flow of a guest into the internet at this rate. */
  readonly bulk?: { readonly mbit: number };
  /** Queries a second to the router: names nobody asked before, and the guests' own. */
  readonly dns?: { readonly rate: number };
  /** Renewals a second of the client's own lease (RFC 2131, 4.3.2: RENEWING). */
  readonly dhcp?: { readonly rate: number };
}

/** What the handover is measured under. */
export const FULL_LOAD: Load = {
  icmp: { rate: 1000 },
  udp: { rate: 1000 },
  flows: { sourceNat: 100, portForward: 60, staticNat: 40, loadBalancer: 20 },
  connections: { rate: 500 },
  bulk: { mbit: 50 },
  dns: { rate: 50 },
  dhcp: { rate: 1 },
};

/** Everything, at a rate that leaves most of a small machine to others: for tests. */
export const SHORT_LOAD: Load = {
  icmp: { rate: 200 },
  udp: { rate: 200 },
  flows: { sourceNat: 16, portForward: 8, staticNat: 8, loadBalancer: 8 },
  connections: { rate: 100 },
  bulk: { mbit: 10 },
  dns: { rate: 20 },
  dhcp: { rate: 1 },
};
