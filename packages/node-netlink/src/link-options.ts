/** What the requests on links take. */
import type { BridgeOptions, BridgePortOptions } from './bridge-attributes.ts';

/** A network namespace: a name of `ip netns`, a path, or the id of a process in it. */
export type NamespaceReference = string | number;

/** What every kind of link can be given when it is made. */
export interface CommonLinkOptions {
  /** 1 to 15 bytes without `/` and white space. */
  readonly name: string;
  /** The index it shall get; the kernel chooses when absent. */
  readonly index?: number | undefined;
  readonly mac?: string | undefined;
  readonly mtu?: number | undefined;
  /** Where it is made; the namespace of the socket when absent. */
  readonly netns?: NamespaceReference | undefined;
  readonly up?: boolean | undefined;
  /** Free text, at most 255 bytes. */
  readonly alias?: string | undefined;
  /** The bridge (or other master) it is put in, by name or index; looked up where the link is made. */
  readonly master?: string | number | undefined;
  /** Group number, for removal of many at once. */
  readonly group?: number | undefined;
  readonly txQueueLength?: number | undefined;
}

/** A pair of Ethernet devices joined back to back; see veth(4). */
export interface VethOptions extends CommonLinkOptions {
  readonly kind: 'veth';
  readonly peer: {
    readonly name: string;
    readonly mac?: string | undefined;
    readonly mtu?: number | undefined;
    readonly netns?: NamespaceReference | undefined;
    readonly up?: boolean | undefined;
    readonly group?: number | undefined;
    readonly alias?: string | undefined;
    readonly master?: string | number | undefined;
  };
}

export interface BridgeLinkOptions extends CommonLinkOptions {
  readonly kind: 'bridge';
  readonly bridge?: BridgeOptions | undefined;
}

export interface VxlanLinkOptions extends CommonLinkOptions {
  readonly kind: 'vxlan';
  readonly vxlan: {
    /** VNI, 0 to 16777215. */
    readonly id: number;
    /** Source address of outer packets. */
    readonly local?: string | undefined;
    /** Multicast group or default remote address. */
    readonly remote?: string | undefined;
    /** UDP destination port; 4789 (IANA) when absent. */
    readonly port?: number | undefined;
    /** Whether forwarding entries are learnt from received packets; true when absent. */
    readonly learning?: boolean | undefined;
    /** Underlying device, by name or index. */
    readonly dev?: string | number | undefined;
    readonly ttl?: number | undefined;
    /** Seconds. */
    readonly ageing?: number | undefined;
    readonly proxy?: boolean | undefined;
    readonly udpChecksum?: boolean | undefined;
  };
}

export interface VlanLinkOptions extends CommonLinkOptions {
  readonly kind: 'vlan';
  readonly vlan: {
    /** 1 to 4094. */
    readonly id: number;
    /** The device that carries the tagged frames. */
    readonly dev: string | number;
    readonly protocol?: '802.1Q' | '802.1ad' | undefined;
  };
}

export interface TunLinkOptions extends CommonLinkOptions {
  readonly kind: 'tun' | 'tap';
  readonly tun?:
    | {
        readonly multiQueue?: boolean | undefined;
        readonly vnetHeader?: boolean | undefined;
        /** Whether frames are preceded by flags and protocol; false when absent. */
        readonly packetInformation?: boolean | undefined;
        /** Uid that may attach to it. */
        readonly owner?: number | undefined;
        /** Gid that may attach to it. */
        readonly group?: number | undefined;
      }
    | undefined;
}

export interface PlainLinkOptions extends CommonLinkOptions {
  readonly kind: 'dummy' | 'ifb';
}

/** What `links.add` takes. */
export type LinkOptions =
  | VethOptions
  | BridgeLinkOptions
  | VxlanLinkOptions
  | VlanLinkOptions
  | TunLinkOptions
  | PlainLinkOptions;

/** One link by name or index, or (removal only) all of a group. */
export type LinkSelector =
  | { readonly name: string; readonly index?: undefined; readonly group?: undefined }
  | { readonly index: number; readonly name?: undefined; readonly group?: undefined }
  | { readonly group: number; readonly name?: undefined; readonly index?: undefined };

/** What `links.set` takes: which link, and what of it shall change. */
export interface LinkChange {
  readonly name?: string | undefined;
  readonly index?: number | undefined;
  readonly up?: boolean | undefined;
  readonly mac?: string | undefined;
  readonly mtu?: number | undefined;
  /** Bridge to join, by name or index; null leaves the present one. */
  readonly master?: string | number | null | undefined;
  readonly netns?: NamespaceReference | undefined;
  /** Works only while the link is down on old kernels (before 6.2). */
  readonly newName?: string | undefined;
  readonly alias?: string | undefined;
  readonly group?: number | undefined;
  readonly txQueueLength?: number | undefined;
  readonly promiscuous?: boolean | undefined;
  readonly arp?: boolean | undefined;
  /** `none`: the kernel makes no IPv6 link-local address by itself. */
  readonly ipv6AddressGeneration?: 'eui64' | 'none' | undefined;
  /** Settings of the bridge this link is. */
  readonly bridge?: BridgeOptions | undefined;
  /** Settings of this link as a port of its bridge. */
  readonly bridgePort?: BridgePortOptions | undefined;
}

export interface LinkFilter {
  readonly kind?: string | undefined;
  /** Ports of this bridge only. */
  readonly master?: string | number | undefined;
  /** Whether counters are asked for; off when absent, as they make the answer a third larger. */
  readonly statistics?: boolean | undefined;
}
