/**
 * What planning is told: the rows of the store that bear on one router or one host, already read. Order of rows is
 * without meaning. Facts may be restricted to the items a change touched; the planners do not notice.
 */
import type { ProbeFact } from './probes.ts';

export type Service =
  | 'dhcp'
  | 'dns'
  | 'metadata'
  | 'source-nat'
  | 'static-nat'
  | 'port-forward'
  | 'load-balancer'
  | 'firewall';

export interface RouterFacts {
  readonly router: {
    readonly id: string;
    readonly generation: number;
    /** Which half of the source ports is this router's; its predecessor and successor have the other. */
    readonly parity: 0 | 1;
    /** Place in the chain of the network's routers. */
    readonly ordinal: number;
    readonly createdAt: number;
  };
  /** Its neighbours in the chain, as its document is to name them. */
  readonly neighbours: {
    readonly older: ChainRouter | null;
    readonly newer: ChainRouter | null;
    /** Routers further on that send to this one already, or still: it takes what they send, and sends them nothing. */
    readonly heardOlder: ChainRouter | null;
    readonly heardNewer: ChainRouter | null;
  };
  readonly network: {
    readonly prefix: string;
    readonly gateway: string;
    readonly domain: string;
    readonly mtu: number;
    readonly gatewayMac: string;
    readonly publicMac: string;
  };
  readonly zone: {
    readonly id: string;
    readonly name: string;
    readonly dns: readonly string[];
    readonly publicMtu: number;
  };
  readonly offering: { readonly services: readonly string[]; readonly egressDefault: 'allow' | 'deny' };
  /** Ports of this router. */
  readonly ports: readonly RouterPort[];
  /** Public addresses of the network. Restricted facts have at least the source NAT address. */
  readonly publicIps: readonly PublicIpFact[];
  readonly firewallRules: readonly FirewallRuleFact[];
  readonly egressRules: readonly EgressRuleFact[];
  readonly portForwards: readonly PortForwardFact[];
  readonly staticNats: readonly StaticNatFact[];
  readonly loadBalancers: readonly LoadBalancerFact[];
  readonly guests: readonly GuestFact[];
}

export interface RouterPort {
  readonly id: string;
  readonly role: 'router-guest' | 'router-public';
}

/** What a router's neighbour has to know of it. */
export interface ChainRouter {
  readonly id: string;
  readonly ordinal: number;
  readonly createdAt: number;
  readonly ports: readonly RouterPort[];
}

export interface PublicIpFact {
  readonly address: string;
  readonly sourceNat: boolean;
  /** Prefix and gateway of the range the address is from. */
  readonly prefix: string;
  readonly gateway: string;
}

interface MatchFact {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'all';
  readonly firstPort: number | null;
  readonly lastPort: number | null;
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
}

export interface FirewallRuleFact extends MatchFact {
  readonly id: string;
  readonly publicAddress: string;
  readonly sources: readonly string[];
}

export interface EgressRuleFact extends MatchFact {
  readonly id: string;
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
}

export interface PortForwardFact {
  readonly id: string;
  readonly publicAddress: string;
  readonly protocol: 'tcp' | 'udp';
  readonly firstPublicPort: number;
  readonly lastPublicPort: number;
  readonly firstGuestPort: number;
  readonly lastGuestPort: number;
  readonly guestAddress: string;
}

export interface StaticNatFact {
  readonly id: string;
  readonly publicAddress: string;
  readonly guestAddress: string;
  /** Id of the guest's port. */
  readonly port: string;
}

export interface LoadBalancerFact {
  readonly id: string;
  readonly publicAddress: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'http';
  readonly algorithm: 'roundrobin' | 'leastconn' | 'source';
  readonly members: readonly {
    readonly id: string;
    readonly guestAddress: string;
    readonly guestPort: number;
    readonly draining: boolean;
  }[];
}

/** One port of one instance on the router's network. */
export interface GuestFact {
  /** Id of the port. */
  readonly id: string;
  readonly mac: string;
  readonly address: string;
  readonly instance: string;
  readonly hostname: string;
  readonly userData: string;
  readonly publicKeys: readonly string[];
  readonly metaData: Readonly<Record<string, string>>;
  /** In clear; null when taken or never asked for. */
  readonly password: string | null;
  /** Address static NAT gives this port, null without. */
  readonly staticNatAddress: string | null;
}

export interface HostFacts {
  readonly host: { readonly id: string; readonly generation: number };
  readonly zone: { readonly id: string; readonly publicMtu: number; readonly hasPublicRange: boolean };
  /** Networks that have a machine on this host. */
  readonly networks: readonly {
    readonly id: string;
    /** Null while the network is not implemented: then it has no segment. */
    readonly vni: number | null;
    readonly mtu: number;
    readonly gatewayMac: string;
    readonly publicMac: string;
  }[];
  readonly routers: readonly {
    readonly id: string;
    readonly network: string;
    readonly ordinal: number;
    readonly createdAt: number;
    /** Whether frames for the network's MACs go to it. */
    readonly active: boolean;
    /** Whether it stands by for the active router of its network. */
    readonly standby?: boolean;
    /** Ids of its neighbours in the chain. */
    readonly older: string | null;
    readonly newer: string | null;
    /** Routers further on that it hears without sending to them. */
    readonly heardOlder: string | null;
    readonly heardNewer: string | null;
    /** What it is to run, if not what its host came with. */
    readonly bundle?: { readonly version: string; readonly checksum: string };
    /** Most memory of its daemon's heap, bytes; if not as its host has it. */
    readonly memory?: number;
  }[];
  readonly instances: readonly {
    readonly id: string;
    readonly hostname: string;
    readonly wantedState: 'running' | 'stopped';
  }[];
  readonly ports: readonly HostPort[];
  /** Machines that measure; absent without any. */
  readonly probes?: readonly ProbeFact[];
}

/** A port of a machine on this host. */
export interface HostPort {
  readonly id: string;
  readonly role: 'guest' | 'router-guest' | 'router-public';
  readonly network: string;
  /** Id of the instance or router. */
  readonly machine: string;
  readonly mac: string;
  readonly address: string | null;
  readonly createdAt: number;
}
