/** A {@link RouteSocket} on a network in memory. */
import type { Address, AddressOptions, AddressRemoval } from '../addresses.ts';
import type { FdbOptions, FdbRemoval } from '../fdb.ts';
import type { NeighbourOptions, NeighbourRemoval } from '../neighbours.ts';
import { errorOf, type NetlinkError } from '../netlink-error.ts';
import type { QdiscOptions, QdiscRemoval } from '../qdiscs.ts';
import type { DumpRequest, NetlinkRequest, Operation } from '../request.ts';
import type { RouteSocket } from '../route-socket.ts';
import type { Route, RouteOptions } from '../routes.ts';
import type { Rule, RuleOptions } from '../rules.ts';
import { familyName, familyOf, ipBytes, macBytes, macText, prefixBytes } from '../wire/address-bytes.ts';
import type { WriteMode } from '../wire/flags.ts';
import { addLink, removeLink, reported, setLink } from './fake-links.ts';
import { bare, type FakeNamespace, networkOf, refuse } from './fake-namespace.ts';
import type { FakeNetwork } from './fake-network.ts';

const familyOfText = (address: string): 'ipv4' | 'ipv6' => familyName(familyOf(ipBytes(bare(address))));

/** Puts an object in a list: `add` refuses one that is there, `replace` takes its place. */
const put = <T>(list: T[], same: (other: T) => boolean, value: T, mode: WriteMode, request: string): void => {
  const at = list.findIndex(same);
  if (at < 0) list.push(value);
  else if (mode === 'add') throw refuse(request, 'EEXIST');
  else list[at] = value;
};

const take = <T>(list: T[], same: (other: T) => boolean, errno: string, request: string): void => {
  const at = list.findIndex(same);
  if (at < 0) throw refuse(request, errno);
  list.splice(at, 1);
};

const withLength = (address: string): string => {
  const { length } = prefixBytes(address);
  return `${bare(address)}/${length}`;
};

const makeAddress = (link: number, linkName: string, options: AddressOptions): Address => {
  const family = familyOfText(options.address);
  return {
    family,
    link,
    address: withLength(options.address),
    peer: options.peer ?? null,
    broadcast: options.broadcast ?? null,
    label: family === 'ipv4' ? (options.label ?? linkName) : null,
    scope: options.scope ?? 'global',
    secondary: false,
    tentative: false,
    deprecated: options.preferredLifetime === 0,
    duplicate: false,
    permanent: options.validLifetime === undefined,
    noPrefixRoute: options.noPrefixRoute ?? false,
    validLifetime: options.validLifetime ?? null,
    preferredLifetime: options.preferredLifetime ?? options.validLifetime ?? null,
  };
};

const sharesPrefix = (a: Address, b: Address): boolean =>
  a.link === b.link && networkOf(a.address) === networkOf(b.address);

const makeRoute = (namespace: FakeNamespace, options: RouteOptions, request: string): Route => {
  const via = options.via ?? options.nextHops?.find((hop) => hop.via !== undefined)?.via;
  const family =
    options.destination === 'default'
      ? (options.family ?? (via === undefined ? 'ipv4' : familyOfText(via)))
      : familyOfText(options.destination);
  const type = options.type ?? 'unicast';
  const hop = (
    gateway: string | undefined,
    dev: string | number | undefined,
    onlink: boolean | undefined,
  ): number => {
    const link = dev === undefined ? undefined : namespace.link(dev, request);
    if (link !== undefined && !link.up) throw refuse(request, 'ENETDOWN');
    if (gateway === undefined) return link?.index ?? 0;
    if (onlink === true && link !== undefined) return link.index;
    const found = namespace.linkTo(gateway, link?.index);
    if (found === undefined) throw refuse(request, family === 'ipv4' ? 'ENETUNREACH' : 'EHOSTUNREACH');
    return found;
  };
  const plain = type === 'unicast' && options.nextHops === undefined;
  if (plain && options.via === undefined && options.dev === undefined) throw refuse(request, 'ENODEV');
  const noGateway = options.via === undefined && options.nextHops === undefined;
  return {
    family,
    destination:
      options.destination === 'default' || prefixBytes(options.destination).length === 0
        ? 'default'
        : networkOf(options.destination),
    via: options.via ?? null,
    link: plain ? hop(options.via, options.dev, options.onlink) : null,
    onlink: options.onlink ?? false,
    table: options.table ?? 254,
    metric: options.metric ?? (family === 'ipv4' ? 0 : 1024),
    scope: options.scope ?? (family === 'ipv4' && type === 'unicast' && noGateway ? 'link' : 'global'),
    type,
    protocol: options.protocol ?? 'boot',
    preferredSource: options.preferredSource ?? null,
    mtu: options.mtu ?? null,
    nextHops: (options.nextHops ?? []).map((way) => ({
      via: way.via ?? null,
      link: hop(way.via, way.dev, way.onlink),
      onlink: way.onlink ?? false,
      weight: way.weight ?? 1,
    })),
  };
};

/** Whether a stored route fits what a removal says; what it leaves open fits. */
const fitsRoute = (
  namespace: FakeNamespace,
  options: RouteOptions,
  request: string,
): ((route: Route) => boolean) => {
  const family =
    options.destination === 'default'
      ? (options.family ?? (options.via === undefined ? 'ipv4' : familyOfText(options.via)))
      : familyOfText(options.destination);
  const destination = options.destination === 'default' ? 'default' : networkOf(options.destination);
  const link = options.dev === undefined ? undefined : namespace.link(options.dev, request).index;
  return (route) =>
    route.family === family &&
    route.destination === destination &&
    route.table === (options.table ?? 254) &&
    (options.metric === undefined || route.metric === options.metric) &&
    (options.via === undefined || route.via === options.via) &&
    (options.type === undefined || route.type === options.type) &&
    (options.protocol === undefined || route.protocol === options.protocol) &&
    (link === undefined || route.link === link);
};

const makeRule = (options: RuleOptions, priority: number): Rule => {
  const known = options.from ?? options.to;
  const action = options.action ?? 'table';
  return {
    family: options.family ?? (known === undefined ? 'ipv4' : familyOfText(known)),
    priority,
    from: options.from === undefined ? null : withLength(options.from),
    to: options.to === undefined ? null : withLength(options.to),
    inputDev: options.inputDev ?? null,
    outputDev: options.outputDev ?? null,
    mark: options.mark ?? null,
    markMask: options.mark === undefined ? null : (options.markMask ?? 0xffffffff),
    not: options.not ?? false,
    ipProtocol: options.ipProtocol ?? null,
    sourcePorts: options.sourcePorts ?? null,
    destinationPorts: options.destinationPorts ?? null,
    action,
    table: action === 'table' ? (options.table ?? 0) : null,
    goto: options.goto ?? null,
    suppressPrefixLength: options.suppressPrefixLength ?? null,
    protocol: options.protocol ?? 'unspecified',
  };
};

const ruleFields = (options: RuleOptions, rule: Rule): boolean => {
  const made = makeRule(options, options.priority ?? rule.priority);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return given.every(([name]) => {
    const key = name as keyof Rule & keyof RuleOptions;
    return JSON.stringify(rule[key]) === JSON.stringify(made[key]);
  });
};

const sameText = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Takes requests as the kernel would; see {@link FakeNetwork} for what is shared between sockets. */
export class FakeRouteSocket implements RouteSocket {
  readonly #network: FakeNetwork;
  readonly #namespace: FakeNamespace;
  #closed = false;

  constructor(options: { readonly network: FakeNetwork; readonly netns?: string | undefined }) {
    this.#network = options.network;
    this.#namespace = this.#network.namespace(options.netns);
  }

  send<T>(request: NetlinkRequest<T>): T {
    this.#live(request.description);
    try {
      return this.#perform(request.operation, request.description) as T;
    } catch (error) {
      throw errorOf(error, request.description);
    }
  }

  batch(requests: readonly NetlinkRequest<unknown>[]): (NetlinkError | null)[] {
    this.#live('send requests');
    return requests.map((request) => {
      try {
        this.send(request);
        return null;
      } catch (error) {
        return errorOf(error, request.description);
      }
    });
  }

  dump<T>(request: DumpRequest<T>): T[] {
    this.#live(request.description);
    return this.#list(request.operation, request.description) as T[];
  }

  close(): void {
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #live(request: string): void {
    if (this.#closed) throw refuse(request, 'EBADF', 'closed');
  }

  #perform(operation: Operation, request: string): unknown {
    const namespace = this.#namespace;
    switch (operation.name) {
      case 'link-add':
        return addLink(this.#network, namespace, operation.options, request);
      case 'link-set':
        return setLink(this.#network, namespace, operation.options, request);
      case 'link-remove':
        return removeLink(namespace, operation.options, request);
      case 'link-get':
        return reported(namespace.link(operation.options.index ?? operation.options.name, request));
      case 'address-write':
        return this.#writeAddress(operation.options, operation.mode, request);
      case 'address-remove':
        return this.#removeAddress(operation.options, request);
      case 'route-write':
        return this.#writeRoute(operation.options, operation.mode, request);
      case 'route-remove':
        return take(namespace.routes, fitsRoute(namespace, operation.options, request), 'ESRCH', request);
      case 'rule-add':
        return this.#addRule(operation.options, request);
      case 'rule-remove': {
        const { options } = operation;
        const known = options.from ?? options.to;
        const family = options.family ?? (known === undefined ? 'ipv4' : familyOfText(known));
        return take(
          namespace.rules,
          (rule) => rule.family === family && ruleFields(options, rule),
          'ENOENT',
          request,
        );
      }
      case 'neighbour-write':
        return this.#writeNeighbour(operation.options, operation.mode, request);
      case 'neighbour-remove':
        return this.#removeNeighbour(operation.options, request);
      case 'fdb-write':
        return this.#writeFdb(operation.options, operation.mode, request);
      case 'fdb-remove':
        return this.#removeFdb(operation.options, request);
      case 'qdisc-write':
        return this.#writeQdisc(operation.options, operation.mode, request);
      case 'qdisc-remove':
        return this.#removeQdisc(operation.options, request);
      default:
        return this.#list(operation, request);
    }
  }

  #list(operation: Operation, request: string): unknown[] {
    const namespace = this.#namespace;
    const index = (dev: string | number | undefined): number | undefined =>
      dev === undefined ? undefined : namespace.link(dev, request).index;
    const fits = <T>(wanted: T | undefined, found: T): boolean => wanted === undefined || wanted === found;
    switch (operation.name) {
      case 'link-dump': {
        const master = index(operation.options.master);
        return namespace.links
          .filter((link) => fits(operation.options.kind, link.kind ?? '') && fits(master, link.master ?? 0))
          .map(reported);
      }
      case 'address-dump': {
        const dev = index(operation.options.dev);
        return namespace.addresses.filter(
          (a) => fits(dev, a.link) && fits(operation.options.family, a.family),
        );
      }
      case 'route-dump': {
        const { family, table, protocol } = operation.options;
        const dev = index(operation.options.dev);
        return [...namespace.prefixRoutes(), ...namespace.routes].filter(
          (route) =>
            fits(family, route.family) &&
            fits(table, route.table) &&
            fits(protocol, route.protocol) &&
            fits(dev, route.link ?? 0),
        );
      }
      case 'rule-dump':
        return namespace.rules
          .filter((rule) => fits(operation.options.family, rule.family))
          .toSorted((a, b) => a.priority - b.priority);
      case 'neighbour-dump': {
        const dev = index(operation.options.dev);
        return namespace.neighbours.filter(
          (n) => fits(dev, n.link) && fits(operation.options.family, n.family),
        );
      }
      case 'fdb-dump': {
        const dev = index(operation.options.dev);
        const bridge = index(operation.options.bridge);
        return namespace.fdb.filter((entry) => fits(dev, entry.link) && fits(bridge, entry.bridge ?? 0));
      }
      case 'qdisc-dump': {
        const dev = index(operation.options.dev);
        return namespace.qdiscs.filter((qdisc) => fits(dev, qdisc.link));
      }
      default:
        throw refuse(request, 'EOPNOTSUPP');
    }
  }

  #writeAddress(options: AddressOptions, mode: WriteMode, request: string): void {
    const link = this.#namespace.link(options.dev, request);
    const address = makeAddress(link.index, link.name, options);
    const same = (other: Address): boolean => other.link === link.index && other.address === address.address;
    const secondary =
      address.family === 'ipv4' &&
      this.#namespace.addresses.some(
        (other) => !same(other) && !other.secondary && sharesPrefix(other, address),
      );
    put(this.#namespace.addresses, same, { ...address, secondary }, mode, request);
  }

  #removeAddress(options: AddressRemoval, request: string): void {
    const link = this.#namespace.link(options.dev, request);
    const wanted = withLength(options.address);
    const same = (other: Address): boolean => other.link === link.index && other.address === wanted;
    const leaving = this.#namespace.addresses.find(same);
    take(this.#namespace.addresses, same, 'EADDRNOTAVAIL', request);
    if (leaving === undefined || leaving.family === 'ipv6') return;
    // The kernel's default (promote_secondaries 0): the first of a prefix takes the others along.
    if (!leaving.secondary) {
      this.#namespace.addresses = this.#namespace.addresses.filter(
        (other) => !(other.secondary && sharesPrefix(other, leaving)),
      );
    }
    const left = this.#namespace.addresses.some(
      (other) => other.link === link.index && other.family === 'ipv4',
    );
    if (!left) this.#namespace.withdraw(link.index, 'ipv4');
  }

  #writeRoute(options: RouteOptions, mode: WriteMode, request: string): void {
    const route = makeRoute(this.#namespace, options, request);
    const same = (other: Route): boolean =>
      other.family === route.family &&
      other.destination === route.destination &&
      other.table === route.table &&
      other.metric === route.metric;
    const taken = mode === 'add' && this.#namespace.prefixRoutes().some(same);
    if (taken) throw refuse(request, 'EEXIST');
    put(this.#namespace.routes, same, route, mode, request);
  }

  #addRule(options: RuleOptions, request: string): void {
    const { rules } = this.#namespace;
    const lowest = Math.min(...rules.map((rule) => rule.priority).filter((priority) => priority > 0));
    const rule = makeRule(options, options.priority ?? lowest - 1);
    put(rules, (other) => sameText(other, rule), rule, 'add', request);
  }

  #writeNeighbour(options: NeighbourOptions, mode: WriteMode, request: string): void {
    const link = this.#namespace.link(options.dev, request).index;
    const proxy = options.proxy ?? false;
    const neighbour = {
      family: familyOfText(options.address),
      link,
      address: options.address,
      mac: options.mac === undefined ? null : macText(macBytes(options.mac)),
      state: proxy ? ('none' as const) : (options.state ?? 'permanent'),
      proxy,
      router: options.router ?? false,
    };
    put(
      this.#namespace.neighbours,
      (other) => other.link === link && other.address === options.address && other.proxy === proxy,
      neighbour,
      mode,
      request,
    );
  }

  #removeNeighbour(options: NeighbourRemoval, request: string): void {
    const link = this.#namespace.link(options.dev, request).index;
    const proxy = options.proxy ?? false;
    take(
      this.#namespace.neighbours,
      (other) => other.link === link && other.address === options.address && other.proxy === proxy,
      'ENOENT',
      request,
    );
  }

  #fdbKey(options: FdbRemoval, request: string): { link: number; bridge: number | null; mac: string } {
    const link = this.#namespace.link(options.dev, request);
    const mac = macText(macBytes(options.mac)) ?? '';
    if (options.table === 'self') return { link: link.index, bridge: null, mac };
    if (link.master === null) throw refuse(request, 'EOPNOTSUPP');
    return { link: link.index, bridge: link.master, mac };
  }

  #writeFdb(options: FdbOptions, mode: WriteMode, request: string): void {
    const { link, bridge, mac } = this.#fdbKey(options, request);
    const entry = {
      link,
      mac,
      table: options.table ?? ('master' as const),
      bridge,
      state: options.state ?? ('static' as const),
      sticky: options.sticky ?? false,
      externallyLearned: options.externallyLearned ?? false,
      vlan: options.vlan ?? null,
      destination: options.destination ?? null,
      port: options.port ?? null,
      vni: options.vni ?? null,
    };
    put(
      this.#namespace.fdb,
      (other) =>
        other.mac === mac &&
        other.table === entry.table &&
        other.vlan === entry.vlan &&
        (entry.table === 'master' ? other.bridge === bridge : other.link === link),
      entry,
      mode,
      request,
    );
  }

  #removeFdb(options: FdbRemoval, request: string): void {
    const { link, mac } = this.#fdbKey(options, request);
    const table = options.table ?? 'master';
    take(
      this.#namespace.fdb,
      (other) =>
        other.mac === mac &&
        other.table === table &&
        other.link === link &&
        other.vlan === (options.vlan ?? null) &&
        (options.destination === undefined || other.destination === options.destination),
      'ENOENT',
      request,
    );
  }

  #writeQdisc(options: QdiscOptions, mode: WriteMode, request: string): void {
    const link = this.#namespace.link(options.dev, request).index;
    const ingress = options.kind === 'ingress' || options.kind === 'clsact';
    const parent = ingress ? ('ingress' as const) : (options.parent ?? ('root' as const));
    const handle = options.handle ?? (ingress ? 0xffff0000 : 0x80010000);
    put(
      this.#namespace.qdiscs,
      (other) => other.link === link && other.parent === parent,
      {
        link,
        kind: options.kind,
        handle,
        parent,
        options: '',
        ...(options.kind === 'tbf'
          ? { tbf: { rate: options.rate, burst: options.burst, limit: options.limit } }
          : {}),
        ...(options.kind === 'htb'
          ? { htb: { defaultClass: options.defaultClass ?? 0, rateToQuantum: options.rateToQuantum ?? 10 } }
          : {}),
      },
      mode,
      request,
    );
  }

  #removeQdisc(options: QdiscRemoval, request: string): void {
    const link = this.#namespace.link(options.dev, request).index;
    const parent = options.parent ?? 'root';
    take(
      this.#namespace.qdiscs,
      (other) => other.link === link && other.parent === parent,
      'ENOENT',
      request,
    );
  }
}
