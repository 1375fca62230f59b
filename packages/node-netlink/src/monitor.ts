/** Follows the changes of a network namespace: what the kernel tells of links, addresses, routes, nftables, connections. */
import { type Address, decodeAddress, RTM_DELADDR } from './addresses.ts';
import { CT_DELETE, decodeConntrack } from './conntrack-codec.ts';
import type { ConntrackEntry } from './conntrack-entry.ts';
import { decodeFdbEntry, type FdbEntry } from './fdb.ts';
import { decodeLink, type Link } from './link-decode.ts';
import { decodeNeighbour, type Neighbour } from './neighbours.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from './netlink-socket.ts';
import { type NftablesChange, nftablesReader } from './nftables-change.ts';
import type { ReceivedMessage } from './request.ts';
import { decodeRoute, type Route, RTM_DELROUTE } from './routes.ts';
import { decodeRule, RTM_DELRULE, type Rule } from './rules.ts';
import { AF_BRIDGE } from './wire/address-bytes.ts';
import { NLM_F_CREATE } from './wire/flags.ts';
import { RTM_DELLINK } from './wire/link-constants.ts';
import { RTM_DELNEIGH } from './wire/neighbour-constants.ts';
import { type ReadableWait, whenReadable } from './when-readable.ts';

/** What can be followed. `neighbour` brings the forwarding entries of bridges too. */
export type MonitorGroup =
  | 'link'
  | 'address4'
  | 'address6'
  | 'route4'
  | 'route6'
  | 'neighbour'
  | 'rule4'
  | 'rule6'
  | 'nftables'
  | 'conntrack-new'
  | 'conntrack-update'
  | 'conntrack-destroy';

const routeGroups: Readonly<Partial<Record<MonitorGroup, number>>> = {
  link: 1,
  neighbour: 3,
  address4: 5,
  route4: 7,
  rule4: 8,
  address6: 9,
  route6: 11,
  rule6: 19,
};

const netfilterGroups: Readonly<Partial<Record<MonitorGroup, number>>> = {
  'conntrack-new': 1,
  'conntrack-update': 2,
  'conntrack-destroy': 3,
  nftables: 7,
};

/** `set` is new or changed: the kernel does not always tell which. */
export type Change = 'set' | 'removed';

/** One change. */
export type MonitorEvent =
  | { readonly type: 'link'; readonly change: Change; readonly link: Link }
  /** A port of a bridge was set or left its bridge; the link itself goes on. */
  | { readonly type: 'bridge-port'; readonly change: Change; readonly link: Link }
  | { readonly type: 'address'; readonly change: Change; readonly address: Address }
  | { readonly type: 'route'; readonly change: Change; readonly route: Route }
  | { readonly type: 'neighbour'; readonly change: Change; readonly neighbour: Neighbour }
  | { readonly type: 'fdb'; readonly change: Change; readonly entry: FdbEntry }
  | { readonly type: 'rule'; readonly change: Change; readonly rule: Rule }
  /** One nftables transaction. */
  | { readonly type: 'nftables'; readonly change: NftablesChange }
  | {
      readonly type: 'conntrack';
      readonly change: 'new' | 'update' | 'destroy';
      readonly entry: ConntrackEntry;
    }
  /** Changes were lost, more than the buffer held: list everything of these groups again. */
  | { readonly type: 'resync'; readonly groups: readonly MonitorGroup[] };

export interface MonitorOptions {
  /** A name of `ip netns` or a path; that of the thread when absent. */
  readonly netns?: string | undefined;
  readonly groups: readonly MonitorGroup[];
  /** Most bytes the kernel keeps until they are read; 4 MiB when absent. Memory is used only while something waits. */
  readonly receiveBufferBytes?: number | undefined;
  /**
   * How long to let changes gather before they are read, ms; they are read at once when absent. Many small changes then cost
   * one wake-up in that time instead of one each.
   */
  readonly gather?: number | undefined;
  /** Called when the socket can no longer be read; without it the error is thrown as uncaught. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** A running monitor. */
export interface Monitor {
  /** Ends it: no further event comes, and it no longer keeps the process alive. */
  close(): void;
  /** Lets the process end although the monitor runs. */
  unref(): void;
  [Symbol.dispose](): void;
}

/** Datagrams read before other work of the event loop gets its turn. */
const READS_PER_TURN = 128;

const decodeRouteMessage = (message: ReceivedMessage): MonitorEvent | undefined => {
  const { type } = message;
  const change = (removal: number): Change => (type === removal ? 'removed' : 'set');
  const link = decodeLink(message);
  if (link !== undefined) {
    const bridgePort = message.buffer.readUInt8(message.start) === AF_BRIDGE;
    return { type: bridgePort ? 'bridge-port' : 'link', change: change(RTM_DELLINK), link };
  }
  const address = decodeAddress(message);
  if (address !== undefined) return { type: 'address', change: change(RTM_DELADDR), address };
  const route = decodeRoute(message);
  if (route !== undefined) return { type: 'route', change: change(RTM_DELROUTE), route };
  const neighbour = decodeNeighbour(message);
  if (neighbour !== undefined) return { type: 'neighbour', change: change(RTM_DELNEIGH), neighbour };
  const entry = decodeFdbEntry(message);
  if (entry !== undefined) return { type: 'fdb', change: change(RTM_DELNEIGH), entry };
  const rule = decodeRule(message);
  if (rule !== undefined) return { type: 'rule', change: change(RTM_DELRULE), rule };
  return undefined;
};

const netfilterDecoder = (): ((message: ReceivedMessage) => MonitorEvent | undefined) => {
  const readNftables = nftablesReader();
  return (message) => {
    const entry = decodeConntrack(message);
    if (entry !== undefined) {
      const fresh = (message.flags & NLM_F_CREATE) !== 0 ? 'new' : 'update';
      return { type: 'conntrack', change: message.type === CT_DELETE ? 'destroy' : fresh, entry };
    }
    const change = readNftables(message);
    return change === undefined ? undefined : { type: 'nftables', change };
  };
};

const follow = (
  options: MonitorOptions,
  protocol: number,
  numbers: Readonly<Partial<Record<MonitorGroup, number>>>,
  decode: (message: ReceivedMessage) => MonitorEvent | undefined,
  handler: (event: MonitorEvent) => void,
): Monitor | undefined => {
  const wanted = [...new Set(options.groups)].filter((group) => numbers[group] !== undefined);
  if (wanted.length === 0) return undefined;
  const socket = new NetlinkSocket({
    protocol,
    netns: options.netns,
    groups: wanted.map((group) => numbers[group] ?? 0),
    nonBlocking: true,
    receiveBufferBytes: options.receiveBufferBytes,
  });
  let closed = false;
  let wait: ReadableWait | undefined;
  let gathering: NodeJS.Timeout | undefined;
  let unreferenced = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    clearTimeout(gathering);
    wait?.close();
    socket.close();
  };
  /** Reads what is there; false when there is more. */
  const read = (): boolean => {
    for (let i = 0; i < READS_PER_TURN && !closed; i += 1) {
      // The buffer is shared by all sockets: read it to the end before the handler can use another one.
      const events: MonitorEvent[] = [];
      const outcome = socket.receiveNotifications((message) => {
        const event = decode(message);
        if (event !== undefined) events.push(event);
      });
      if (outcome === 'empty') return true;
      if (outcome === 'overrun') {
        // The kernel says so at once, before what it kept from before, and keeps nothing new until that is read: it is
        // older than any list that is made from here on, and must not come after one.
        while (socket.receiveNotifications(() => undefined) !== 'empty');
        events.push({ type: 'resync', groups: wanted });
      }
      for (const event of events) {
        if (!closed) handler(event);
      }
    }
    return false;
  };
  const readSafely = (): boolean => {
    try {
      return read();
    } catch (error) {
      if (options.onError === undefined) throw error;
      options.onError(error);
      return true;
    }
  };
  const { gather } = options;
  /** Reads what has gathered, in turns when it is much, and waits for more. */
  const readGathered = (): void => {
    if (closed) return;
    if (readSafely()) wait?.resume();
    else setImmediate(readGathered);
  };
  try {
    wait = whenReadable(socket.fd, () => {
      if (gather === undefined) {
        readSafely();
        return;
      }
      wait?.pause();
      gathering = setTimeout(readGathered, gather);
      if (unreferenced) gathering.unref();
    });
  } catch (error) {
    socket.close();
    throw error;
  }
  const unref = (): void => {
    unreferenced = true;
    gathering?.unref();
    wait?.unref();
  };
  return { close, unref, [Symbol.dispose]: close };
};

/**
 * Follows the groups until closed. Events come on the main thread, in order within the rtnetlink groups and within the
 * netfilter groups. List what is there after this returned: then nothing is missed.
 */
export const monitor = (options: MonitorOptions, handler: (event: MonitorEvent) => void): Monitor => {
  const parts: Monitor[] = [];
  const close = (): void => {
    for (const part of parts) part.close();
  };
  try {
    for (const part of [
      follow(options, NETLINK_ROUTE, routeGroups, decodeRouteMessage, handler),
      follow(options, NETLINK_NETFILTER, netfilterGroups, netfilterDecoder(), handler),
    ]) {
      if (part !== undefined) parts.push(part);
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    close,
    unref: () => {
      for (const part of parts) part.unref();
    },
    [Symbol.dispose]: close,
  };
};
