/** What is found in the fabric namespace, as plain values: the input of the diff. */

export interface ObservedLink {
  readonly index: number;
  readonly name: string;
  /** `bridge`, `veth` ...; null for the loopback. */
  readonly kind: string | null;
  readonly alias: string | null;
  readonly mtu: number;
  readonly up: boolean;
  /** Whether its other end is up. */
  readonly carrier?: boolean;
  /** Index of the bridge it is a port of. */
  readonly master: number | null;
  readonly bridge?: { readonly stp: boolean; readonly multicastSnooping: boolean };
  readonly port?: {
    readonly learning: boolean;
    readonly flood: boolean;
    readonly bcastFlood: boolean;
    readonly mcastFlood: boolean;
  };
}

/** An entry of a bridge's forwarding table. */
export interface ObservedFdbEntry {
  /** Index of the port. */
  readonly link: number;
  readonly mac: string;
  /** `permanent` entries are the bridge's own and are left alone. */
  readonly state: 'permanent' | 'static' | 'dynamic';
  readonly sticky: boolean;
}

export interface ObservedFabric {
  readonly links: readonly ObservedLink[];
  readonly fdb: readonly ObservedFdbEntry[];
}
