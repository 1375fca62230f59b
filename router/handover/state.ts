import type { RouterDocument } from 'documents';
import {
  type ConntrackEntry,
  type ConntrackName,
  links,
  type NeighbourState,
  neighbours,
  tupleKey,
} from 'node-netlink';
import { membersUp } from '../loadbalancer/health-state.ts';
import { metadataServer } from '../metadata/apply.ts';
import type { TakenPassword } from '../metadata/taken-passwords.ts';
import { dnsmasqOf } from '../service/dnsmasq-of.ts';
import type { System } from '../system.ts';
import { GivenConnections } from './given-connections.ts';
import { endsHere, isLasting, isOpenTcp, NOT_OVER, tupleText } from './own-ends.ts';
import { parsePorts, portsText } from './port-list.ts';
import { ownAddresses } from './render.ts';
import { raiseWhileStandingBy } from './standing-by.ts';
import { MOST_ENDED } from './state-shape.ts';
import { TakenConnections } from './taken-connections.ts';

/** The ports the kernel does not choose for the router's own connections (ip-sysctl.rst). */
const RESERVED_PORTS = 'ipv4/ip_local_reserved_ports';

/** An entry as JSON has it: without counters, which are big integers and the older router's own. */
export type CarriedEntry = Omit<ConntrackEntry, 'counters' | 'id'>;

/** What a router knows that is in no document. */
export interface HandoverState {
  /** Connections through the router; those that end in it are left out, as nobody else has their sockets. */
  readonly conntrack: readonly CarriedEntry[];
  /** The router that says all this. */
  readonly from: string;
  /**
   * TCP connections that this router gave before and that have ended in it since. Nobody else learns of their end: whoever
   * was given one has a copy that stays open for days.
   */
  readonly ended: readonly ConntrackName[];
  /** By the device of their leg: routers of one network call it the same, and have legs of their own. */
  readonly neighbours: readonly { readonly device: string; readonly address: string; readonly mac: string }[];
  /** dnsmasq's lease file. */
  readonly leases: string;
  /** One-time passwords that were taken, as digests. */
  readonly passwords: readonly TakenPassword[];
  /**
   * Local ports of connections that this router and older ones opened and still have (haproxy's to its members). The next
   * one but one has the same range of ports: a new connection of the same four numbers would end an old session.
   */
  readonly ports: readonly number[];
  /** Members of load balancers that answer, as `backend/server`: who is not asked yet cannot find out for itself. */
  readonly members: readonly string[];
}

/** What became of a state that was put in. */
export interface TakenOver {
  /** Connections. */
  readonly inserted: number;
  readonly present: number;
  /** Copies taken out again, as their connections have ended where they came from. */
  readonly removed: number;
  readonly refused: readonly { readonly connection: string; readonly reason: string }[];
  readonly neighbours: number;
  readonly leases: number;
  readonly passwords: number;
}

export type Place = Pick<RouterDocument, 'legs' | 'handover'>;

/** States that say whose an address is. */
const VALID: ReadonlySet<NeighbourState> = new Set(['reachable', 'stale', 'delay', 'probe', 'permanent']);

/** Indexes of the legs' devices that are there. */
const legIndexes = (system: System, { legs }: Place): ReadonlyMap<string, number> => {
  const byName = new Map(system.route.dump(links.dump()).map(({ name, index }) => [name, index]));
  return new Map(
    legs.flatMap(({ device }) => {
      const index = byName.get(device);
      return index === undefined ? [] : [[device, index] as const];
    }),
  );
};

/** The neighbours on the legs. */
export const neighboursOf = (system: System, place: Place): HandoverState['neighbours'] => {
  const devices = new Map([...legIndexes(system, place)].map(([device, index]) => [index, device]));
  return system.route.dump(neighbours.dump()).flatMap(({ link, address, mac, state, proxy }) => {
    const device = devices.get(link);
    return device === undefined || mac === null || proxy || !VALID.has(state)
      ? []
      : [{ device, address, mac }];
  });
};

const carried = ({ counters: _counters, id: _id, ...entry }: ConntrackEntry): CarriedEntry => entry;

interface Told {
  readonly given: GivenConnections;
  readonly taken: TakenConnections;
}

const tolds = new WeakMap<System, Told>();

/** What this router and others have told each other. A daemon that starts anew has forgotten it, and nothing is removed then. */
const toldOf = (system: System): Told => {
  const told = tolds.get(system) ?? { given: new GivenConnections(), taken: new TakenConnections() };
  tolds.set(system, told);
  return told;
};

/** Everything another router needs to go on with what this one does. */
export const exportState = async (
  system: System,
  place: Place & Pick<RouterDocument, 'id'>,
): Promise<HandoverState> => {
  const own = ownAddresses(place);
  const entries = system.conntrack.dump(NOT_OVER);
  const ports = new Set(
    entries.flatMap((entry) =>
      own.has(entry.original.source) && isOpenTcp(entry) ? (entry.original.sourcePort ?? []) : [],
    ),
  );
  const reserved =
    (place.handover?.older ?? []).length === 0 ? null : await system.settings?.read(RESERVED_PORTS);
  for (const port of parsePorts(reserved ?? '')) ports.add(port);
  const { given } = toldOf(system);
  const ended = given.ended(entries, (names) => system.conntrack.find(names)).slice(0, MOST_ENDED);
  const lasting = entries.filter((entry) => !endsHere(entry, own) && isLasting(entry));
  given.add(lasting.filter(isOpenTcp));
  return {
    conntrack: lasting.map(carried),
    from: place.id,
    ended,
    neighbours: neighboursOf(system, place),
    leases: await dnsmasqOf(system).leaseText(),
    passwords: await metadataServer(system).takenPasswords(),
    ports: [...ports],
    members: await membersUp(system),
  };
};

/** Puts connections in; what is there stays. That they are as they should be is read back, not believed. */
const insertConnections = (
  system: System,
  entries: readonly ConntrackEntry[],
  from: string,
): Pick<TakenOver, 'inserted' | 'present' | 'refused'> => {
  const began = performance.now();
  const errors = system.conntrack.insert(entries);
  const found = new Map(
    system.conntrack.find(entries).map((entry) => [tupleKey(entry.original, entry.zone), entry]),
  );
  const refused: { connection: string; reason: string }[] = [];
  const inserted: ConntrackEntry[] = [];
  let present = 0;
  for (const [index, entry] of entries.entries()) {
    const { original, reply, zone } = entry;
    const error = errors[index] ?? null;
    const there = found.get(tupleKey(original, zone));
    if (there !== undefined && tupleKey(there.reply) === tupleKey(reply)) {
      if (error === null) inserted.push(entry);
      else present += 1;
      continue;
    }
    const reason =
      error === null
        ? 'it was taken, and is not there'
        : error.code === 'netlink-exists'
          ? 'this router has it with another translation'
          : error.message;
    refused.push({ connection: tupleText(original), reason });
  }
  toldOf(system).taken.add(from, inserted.filter(isOpenTcp), found, began);
  return { inserted: inserted.length, present, refused };
};

/**
 * Neighbours become reachable, as if they had just answered: who is not asked yet gets no answers. What this router has
 * learned itself stays.
 *
 * @param theirs - what they say counts for more: this router hears nothing of its own
 */
export const insertNeighbours = (
  system: System,
  place: Place,
  { neighbours: wanted }: Pick<HandoverState, 'neighbours'>,
  theirs = false,
): number => {
  const indexes = legIndexes(system, place);
  const there = new Map(
    system.route.dump(neighbours.dump()).map((one) => [`${one.link} ${one.address}`, one]),
  );
  const requests = wanted.flatMap(({ device, address, mac }) => {
    const dev = indexes.get(device);
    if (dev === undefined) return [];
    const found = there.get(`${dev} ${address}`);
    if (found?.state === 'permanent') return [];
    if (found?.state === 'reachable' && (!theirs || found.mac === mac)) return [];
    return [neighbours.replace({ dev, address, mac, state: 'reachable' })];
  });
  return system.route.batch(requests).filter((error) => error === null).length;
};

/**
 * In place of what was reserved before: the older router says all there is, its own and what it was told itself. Added up
 * instead, the ports of sessions long over would stay with every successor until there is none left to connect from.
 */
const reservePorts = async (system: System, ports: readonly number[]): Promise<void> => {
  const wanted = portsText(ports);
  if ((await system.settings?.read(RESERVED_PORTS)) !== wanted)
    await system.settings?.write(RESERVED_PORTS, wanted === '' ? '\n' : wanted);
};

/** A state as routers of all versions write it. */
export type WrittenState = Omit<HandoverState, 'from' | 'ended'> &
  Partial<Pick<HandoverState, 'from' | 'ended'>>;

/**
 * Takes over what another router exported. Given again, only what is new is added, and copies of what has ended there are
 * taken out. `inForce` tells the place later on.
 */
export const importState = async (
  system: System,
  place: Place,
  state: WrittenState,
  inForce: () => Place | null = () => place,
): Promise<TakenOver> => {
  const own = ownAddresses(place);
  await reservePorts(system, state.ports);
  // Neighbours first: a connection that is there is used at once.
  const known = insertNeighbours(system, place, state);
  // Checked again: one that ends here would have this router's own TCP answer for the other's sessions, with resets.
  const entries = state.conntrack.filter((entry) => !endsHere(entry, own));
  const { from = '', ended = [] } = state;
  // Before what is open is put in: that may be a later connection of the same four numbers.
  const removed = toldOf(system).taken.remove(system.conntrack, from, ended, entries);
  const connections = insertConnections(system, entries, from);
  const [leases, passwords] = await Promise.all([
    dnsmasqOf(system).inherit(state.leases),
    metadataServer(system).inheritTaken(state.passwords),
    raiseWhileStandingBy(system, inForce, state.members),
  ]);
  return { ...connections, removed, neighbours: known, leases, passwords };
};
