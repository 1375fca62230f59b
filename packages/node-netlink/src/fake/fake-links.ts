/** Links of the fake: making, changing and removing them as the kernel does. */
import type { BridgePort, BridgeState } from '../bridge-attributes.ts';
import type { Link } from '../link-decode.ts';
import type { LinkChange, LinkOptions, LinkSelector } from '../link-options.ts';
import { type FakeLink, type FakeNamespace, refuse } from './fake-namespace.ts';
import type { FakeNetwork } from './fake-network.ts';

const newBridge: BridgeState = {
  vlanFiltering: false,
  vlanDefaultPvid: 1,
  ageingTime: 300,
  multicastSnooping: true,
  multicastQuerier: false,
  stp: false,
  forwardDelay: 15,
  priority: 32768,
  groupForwardMask: 0,
  callIptables: false,
  callIp6tables: false,
  callArptables: false,
};

const newBridgePort: BridgePort = {
  learning: true,
  flood: true,
  bcastFlood: true,
  mcastFlood: true,
  isolated: false,
  hairpin: false,
  neighSuppress: false,
  guard: false,
  rootBlock: false,
  fastLeave: false,
  proxyArp: false,
  mcastToUnicast: false,
  vlanTunnel: false,
  locked: false,
  cost: 2,
  priority: 32,
  state: 'forwarding',
};

/** Options laid over a state; absent ones leave it. */
const over = <T extends object>(state: T, options: object): T => ({
  ...state,
  ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
});

const setUp = (namespace: FakeNamespace, link: FakeLink, up: boolean): void => {
  link.up = up;
  link.flags = up ? link.flags | 1 : link.flags & ~1;
  if (!up) namespace.withdraw(link.index);
  const ends = link.peer === undefined ? [link] : [link, link.peer.link];
  const running = ends.every((end) => end.up);
  for (const end of ends)
    Object.assign(end, { carrier: running, running, operState: running ? 'up' : 'down' });
};

const join = (
  namespace: FakeNamespace,
  link: FakeLink,
  master: string | number | null,
  request: string,
): void => {
  if (master === null) {
    namespace.fdb = namespace.fdb.filter((entry) => entry.link !== link.index || entry.table !== 'master');
    link.master = null;
    delete link.bridgePort;
    return;
  }
  const bridge = namespace.link(master, request);
  if (bridge.kind !== 'bridge') throw refuse(request, 'EOPNOTSUPP');
  if (link.master === bridge.index) return;
  link.master = bridge.index;
  link.bridgePort = { ...newBridgePort };
};

const kindState = (link: LinkOptions, namespace: FakeNamespace, request: string): Partial<Link> => {
  switch (link.kind) {
    case 'bridge':
      return { bridge: over(newBridge, link.bridge ?? {}) };
    case 'vxlan': {
      const { id, local, remote, port, learning, dev } = link.vxlan;
      if (!Number.isInteger(id) || id < 0 || id > 0xffffff)
        throw refuse(request, 'ERANGE', 'VXLAN ID must be lower than 16777216');
      return {
        vxlan: {
          id,
          local: local ?? null,
          remote: remote ?? null,
          port: port ?? 4789,
          learning: learning ?? true,
          dev: dev === undefined ? null : namespace.link(dev, request).index,
        },
      };
    }
    case 'vlan': {
      const parent = namespace.link(link.vlan.dev, request);
      return { vlan: { id: link.vlan.id, protocol: link.vlan.protocol ?? '802.1Q' }, parent: parent.index };
    }
    default:
      return {};
  }
};

const checkFree = (namespace: FakeNamespace, name: string, request: string): void => {
  if (namespace.links.some((link) => link.name === name)) throw refuse(request, 'EEXIST');
};

/** `links.add`. */
export const addLink = (
  network: FakeNetwork,
  own: FakeNamespace,
  options: LinkOptions,
  request: string,
): void => {
  const namespace = options.netns === undefined ? own : network.namespace(options.netns);
  checkFree(namespace, options.name, request);
  const state = kindState(options, own, request);
  const master = options.master;
  if (master !== undefined) namespace.link(master, request);
  const peerSpace =
    options.kind === 'veth' && options.peer.netns !== undefined ? network.namespace(options.peer.netns) : own;
  if (options.kind === 'veth') {
    checkFree(peerSpace, options.peer.name, request);
    if (options.peer.name === options.name && peerSpace === namespace) throw refuse(request, 'EEXIST');
  }
  const peer =
    options.kind === 'veth'
      ? peerSpace.addLink({
          name: options.peer.name,
          kind: 'veth',
          mac: options.peer.mac ?? network.nextMac(),
          mtu: options.peer.mtu ?? 1500,
          alias: options.peer.alias ?? null,
          group: options.peer.group ?? 0,
        })
      : undefined;
  const link = namespace.addLink({
    name: options.name,
    // The kernel calls both kinds tun.
    kind: options.kind === 'tap' ? 'tun' : options.kind,
    mac: options.kind === 'tun' ? null : (options.mac ?? network.nextMac()),
    mtu: options.mtu ?? 1500,
    alias: options.alias ?? null,
    group: options.group ?? 0,
    txQueueLength: options.txQueueLength ?? 1000,
    ...(options.index === undefined ? {} : { index: options.index }),
    ...state,
  });
  if (peer !== undefined && options.kind === 'veth') {
    link.peer = { namespace: peerSpace, link: peer };
    peer.peer = { namespace, link };
    Object.assign(link, { parent: peer.index, parentNamespace: peerSpace === namespace ? null : 0 });
    Object.assign(peer, { parent: link.index, parentNamespace: peerSpace === namespace ? null : 0 });
    if (options.peer.up === true) setUp(peerSpace, peer, true);
    if (options.peer.master !== undefined) join(peerSpace, peer, options.peer.master, request);
  }
  if (options.up === true) setUp(namespace, link, true);
  if (master !== undefined) join(namespace, link, master, request);
};

const move = (
  network: FakeNetwork,
  from: FakeNamespace,
  link: FakeLink,
  target: string | number,
  request: string,
): void => {
  const to = network.namespace(target);
  if (to === from) return;
  checkFree(to, link.name, request);
  from.dropLink(link);
  const moved = to.addLink({ ...link, up: false, master: null });
  delete moved.bridgePort;
  setUp(to, moved, false);
  if (link.peer === undefined) return;
  link.peer.link.peer = { namespace: to, link: moved };
  link.peer.link.parent = moved.index;
  link.peer.link.parentNamespace = link.peer.namespace === to ? null : 0;
  moved.parentNamespace = link.peer.namespace === to ? null : 0;
};

/** `links.set`. */
export const setLink = (
  network: FakeNetwork,
  namespace: FakeNamespace,
  change: LinkChange,
  request: string,
): void => {
  const link = namespace.link(change.index ?? change.name, request);
  if (change.newName !== undefined && change.newName !== link.name)
    checkFree(namespace, change.newName, request);
  if (change.master !== undefined) join(namespace, link, change.master, request);
  if (change.mac !== undefined && change.mac.toLowerCase() !== link.mac) {
    link.mac = change.mac.toLowerCase();
    namespace.neighbours = namespace.neighbours.filter((neighbour) => neighbour.link !== link.index);
  }
  if (change.mtu !== undefined) link.mtu = change.mtu;
  if (change.newName !== undefined) link.name = change.newName;
  if (change.alias !== undefined) link.alias = change.alias === '' ? null : change.alias;
  if (change.group !== undefined) link.group = change.group;
  if (change.txQueueLength !== undefined) link.txQueueLength = change.txQueueLength;
  if (change.promiscuous !== undefined) link.promiscuous = change.promiscuous;
  if (change.arp !== undefined) link.arp = change.arp;
  if (change.bridge !== undefined) {
    if (link.bridge === undefined) throw refuse(request, 'EOPNOTSUPP');
    link.bridge = over(link.bridge, change.bridge);
  }
  if (change.bridgePort !== undefined) {
    if (link.bridgePort === undefined) throw refuse(request, 'EINVAL');
    link.bridgePort = over(link.bridgePort, change.bridgePort);
  }
  if (change.up !== undefined) setUp(namespace, link, change.up);
  if (change.netns !== undefined) move(network, namespace, link, change.netns, request);
};

const removeOne = (namespace: FakeNamespace, link: FakeLink, request: string): void => {
  if (link.loopback) throw refuse(request, 'EOPNOTSUPP');
  namespace.dropLink(link);
  if (link.peer !== undefined) link.peer.namespace.dropLink(link.peer.link);
};

/** `links.remove`. */
export const removeLink = (namespace: FakeNamespace, which: LinkSelector, request: string): void => {
  if (which.group === undefined) {
    removeOne(namespace, namespace.link(which.index ?? which.name, request), request);
    return;
  }
  const group = namespace.links.filter((link) => link.group === which.group);
  if (group.length === 0) throw refuse(request, 'ENODEV');
  for (const link of group) {
    if (namespace.links.includes(link)) removeOne(namespace, link, request);
  }
};

/** What is reported of a link: a copy without what the fake keeps for itself. */
export const reported = (link: FakeLink): Link => {
  const { peer: _peer, ...rest } = link;
  return { ...rest };
};
