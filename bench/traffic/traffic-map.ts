/** Who talks to whom: namespaces the programs run in, and the addresses they use. */

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A name and the address it has to resolve to. */
export interface KnownName {
  readonly name: string;
  readonly address: string;
}

export interface TrafficMap {
  /** Stands in the reports: the network's name. */
  readonly label: string;
  readonly internet: {
    /** Network namespace, a name of `ip netns`. */
    readonly namespace: string;
    /** Address its services are asked at. */
    readonly address: string;
  };
  /** Guest without a public address of its own: it leaves through source NAT. */
  readonly client: { readonly namespace: string; readonly address: string };
  /** Namespaces of the guests that serve: behind static NAT, port forwards and load balancer. */
  readonly servers: readonly string[];
  /** Public address that is one of the guests. */
  readonly staticNat: string;
  /** Public ends of port forwards to SERVICE_PORT of guests. */
  readonly portForwards: readonly Endpoint[];
  /** Public end of a balancer (tcp) with SERVICE_PORT of guests as members. */
  readonly loadBalancer: Endpoint;
  /** Address of the router on the guests' side: DNS and DHCP. */
  readonly router: string;
  /** The guests' own names. */
  readonly names: readonly KnownName[];
  /** Any name under `domain` has this address; nobody asked for it before. */
  readonly outside: { readonly domain: string; readonly address: string };
}

/** TCP and UDP echo. */
export const SERVICE_PORT = 7000;
/**
 * TCP echo on more ports: short connections leave their ports in TIME_WAIT for two minutes in the router, and it has some
 * 22,000 for one address and port of the internet where every other generation of a router uses every other range.
 */
export const MORE_SERVICE_PORTS = [7010, 7011, 7012] as const;
/** Takes what it is given, checks it, says at the end how much it was. */
export const SINK_PORT = 7001;
