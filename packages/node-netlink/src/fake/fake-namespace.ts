/** What one namespace of the fake holds, and the rules that tie links, addresses and routes together. */
import type { Address } from '../addresses.ts';
import type { ConntrackEntry } from '../conntrack-entry.ts';
import type { FdbEntry } from '../fdb.ts';
import type { Link } from '../link-decode.ts';
import type { Neighbour } from '../neighbours.ts';
import { NetlinkError } from '../netlink-error.ts';
import type { Qdisc } from '../qdiscs.ts';
import type { Route } from '../routes.ts';
import type { Rule } from '../rules.ts';
import { ipBytes, ipText, prefixBytes } from '../wire/address-bytes.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** A link of the fake: what is reported, and what ties it to its peer. */
export interface FakeLink extends Writable<Link> {
  peer?: { namespace: FakeNamespace; link: FakeLink } | undefined;
}

/** A refusal as the kernel would give it. */
export const refuse = (request: string, errno: string, kernelMessage?: string): NetlinkError =>
  new NetlinkError({ request, errno, kernelMessage });

/** The first address of a prefix, as the kernel writes destinations. */
export const networkOf = (text: string): string => {
  const { bytes, length } = prefixBytes(text);
  const masked = Buffer.from(bytes);
  for (let i = 0; i < masked.length; i += 1) {
    const keep = Math.min(8, Math.max(0, length - i * 8));
    masked[i] = (masked[i] ?? 0) & (0xff << (8 - keep)) & 0xff;
  }
  return `${ipText(masked)}/${length}`;
};

/** Whether a prefix holds an address of the same family. */
export const holds = (prefix: string, address: string): boolean => {
  const length = prefixBytes(prefix).length;
  const sameFamily = prefixBytes(prefix).bytes.length === ipBytes(address).length;
  return sameFamily && networkOf(prefix) === networkOf(`${address}/${length}`);
};

/** The address without its prefix length. */
export const bare = (address: string): string => address.split('/')[0] ?? address;

const defaultRules = (): Rule[] => {
  const rule = (family: 'ipv4' | 'ipv6', priority: number, table: number): Rule => ({
    family,
    priority,
    from: null,
    to: null,
    inputDev: null,
    outputDev: null,
    mark: null,
    markMask: null,
    not: false,
    ipProtocol: null,
    sourcePorts: null,
    destinationPorts: null,
    action: 'table',
    table,
    goto: null,
    suppressPrefixLength: null,
    protocol: 'kernel',
  });
  return [
    rule('ipv4', 0, 255),
    rule('ipv4', 32766, 254),
    rule('ipv4', 32767, 253),
    rule('ipv6', 0, 255),
    rule('ipv6', 32766, 254),
  ];
};

/** One namespace. Routes of prefixes (`protocol: 'kernel'`) are computed; those of the local table are not modelled. */
export class FakeNamespace {
  readonly name: string | null;
  readonly links: FakeLink[] = [];
  addresses: Address[] = [];
  routes: Route[] = [];
  rules: Rule[] = defaultRules();
  neighbours: Neighbour[] = [];
  fdb: FdbEntry[] = [];
  qdiscs: Qdisc[] = [];
  readonly connections = new Map<string, ConntrackEntry>();
  #nextIndex = 1;

  constructor(name: string | null) {
    this.name = name;
    this.addLink({ name: 'lo', kind: null, mac: '00:00:00:00:00:00', mtu: 65536, loopback: true });
  }

  /** Puts a link in; the name must be free. */
  addLink(link: Partial<FakeLink> & { name: string; kind: string | null; mac: string | null }): FakeLink {
    const wanted = link.index;
    const index =
      wanted !== undefined && !this.links.some((other) => other.index === wanted) ? wanted : this.#nextIndex;
    this.#nextIndex = Math.max(this.#nextIndex, index + 1);
    const made: FakeLink = {
      mtu: 1500,
      up: false,
      running: false,
      carrier: false,
      operState: 'down',
      loopback: false,
      arp: true,
      promiscuous: false,
      alias: null,
      master: null,
      parent: null,
      parentNamespace: null,
      group: 0,
      txQueueLength: 1000,
      flags: 0,
      ...link,
      index,
    };
    this.links.push(made);
    return made;
  }

  /** The link of a name or index; ENODEV when there is none. */
  link(which: string | number | undefined, request: string): FakeLink {
    const found = this.links.find((link) =>
      typeof which === 'number' ? link.index === which : link.name === which,
    );
    if (found === undefined) throw refuse(request, 'ENODEV', `no link ${which}`);
    return found;
  }

  /** Takes a link out with everything that hangs on it. */
  dropLink(link: FakeLink): void {
    this.links.splice(this.links.indexOf(link), 1);
    const { index } = link;
    for (const port of this.links) {
      if (port.master !== index) continue;
      port.master = null;
      delete port.bridgePort;
    }
    this.addresses = this.addresses.filter((address) => address.link !== index);
    this.fdb = this.fdb.filter((entry) => entry.link !== index && entry.bridge !== index);
    this.qdiscs = this.qdiscs.filter((qdisc) => qdisc.link !== index);
    this.withdraw(index);
  }

  /** Routes and neighbours vanish with their link, also when it only goes down; IPv4's also with its last address. */
  withdraw(index: number, family?: 'ipv4'): void {
    const kept = (one: { family: string }): boolean => family !== undefined && one.family !== family;
    this.routes = this.routes.filter(
      (route) => kept(route) || (route.link !== index && !route.nextHops.some((hop) => hop.link === index)),
    );
    this.neighbours = this.neighbours.filter((neighbour) => kept(neighbour) || neighbour.link !== index);
  }

  /** The routes the kernel makes for the prefixes of addresses. */
  prefixRoutes(): Route[] {
    return this.addresses.flatMap((address) => {
      const length = prefixBytes(address.address).length;
      const single = length === (address.family === 'ipv4' ? 32 : 128);
      const link = this.links.find((other) => other.index === address.link);
      if (single || address.secondary || address.noPrefixRoute || link?.up !== true || link.loopback)
        return [];
      return [
        {
          family: address.family,
          destination: networkOf(address.address),
          via: null,
          link: address.link,
          onlink: false,
          table: 254,
          metric: address.family === 'ipv4' ? 0 : 256,
          scope: address.family === 'ipv4' ? ('link' as const) : ('global' as const),
          type: 'unicast' as const,
          protocol: 'kernel' as const,
          preferredSource: address.family === 'ipv4' ? bare(address.address) : null,
          mtu: null,
          nextHops: [],
        },
      ];
    });
  }

  /** Index of the link through which a gateway is reached, or undefined. */
  linkTo(gateway: string, dev: number | undefined): number | undefined {
    const direct = [...this.prefixRoutes(), ...this.routes.filter((route) => route.scope === 'link')];
    return direct.find(
      (route) =>
        route.destination !== 'default' &&
        holds(route.destination, gateway) &&
        (dev === undefined || route.link === dev),
    )?.link as number | undefined;
  }
}
