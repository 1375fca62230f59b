/** The rules of whole chains, walked as packets walk them. */
import test from 'ava';
import fc from 'fast-check';
import type { Handover, HandoverLink, RouterDocument } from 'documents';
import { renderHandover, steeringChain } from '../../handover/render.ts';
import { verifyHandover } from '../../handover/verify.ts';
import { routerDocument } from '../support/documents.ts';

const LEGS = ['guest0', 'public0'] as const;

/** Links between two neighbours, as the older one sees them and as the newer one does. */
const between = (older: number): { readonly up: HandoverLink[]; readonly down: HandoverLink[] } => {
  const ends = LEGS.map((device, leg) => {
    const first = older * 4 + leg * 2;
    const up = {
      device: `n${older}-${device}`,
      mac: `02:00:00:00:0${older}:0${leg}`,
      address: `169.254.77.${first}`,
    };
    const down = {
      device: `o${older}-${device}`,
      mac: `02:00:00:00:1${older}:0${leg}`,
      address: `169.254.77.${first + 1}`,
    };
    return { id: `lnk-${older}-${leg}`, leg: `leg-${device}`, up, down };
  });
  const see = (mine: 'up' | 'down', other: 'up' | 'down'): HandoverLink[] =>
    ends.map(({ id, leg, ...end }) => ({
      id,
      leg,
      device: end[mine].device,
      mac: end[mine].mac,
      address: `${end[mine].address}/31`,
      peer: end[other].address,
      peerMac: end[other].mac,
    }));
  return { up: see('up', 'down'), down: see('down', 'up') };
};

const RULE = /^iifname "(?<from>[^"]+)" dup to (?<via>\S+) device "(?<device>[^"]+)" drop$/;

/** Rules of each router of a chain. */
const rulesOf = (handovers: readonly (Handover | undefined)[]): (readonly string[])[] =>
  handovers.map((handover) => {
    const document: RouterDocument = routerDocument(handover === undefined ? {} : { handover });
    if (verifyHandover(document).length > 0) throw new Error(JSON.stringify(verifyHandover(document)));
    const rendered = renderHandover(document);
    return steeringChain(rendered, 'ip', new Set(rendered.links.map(({ device }) => device)))?.rules ?? [];
  });

interface Packet {
  readonly at: number;
  readonly leg: (typeof LEGS)[number];
  /** Who has a connection for it. */
  readonly owner: number | null;
  /** DNS or DHCP to the router. */
  readonly question: boolean;
}

/** Where a packet ends: router, device it came in on there, and how often it was passed on. Null when it goes round for ever. */
const walk = (
  rules: readonly (readonly string[])[],
  { at: first, leg, owner, question }: Packet,
): { readonly at: number; readonly device: string; readonly hops: number } | null => {
  let at = first;
  let device: string = leg;
  for (let hops = 0; hops <= 20; hops += 1) {
    let next: string | null = null;
    for (const rule of rules[at] ?? []) {
      if (/^fib daddr type local udp .* accept$/.test(rule) && question) break;
      if (rule === 'ct state established,related accept' && owner === at) break;
      const groups = RULE.exec(rule)?.groups;
      if (groups === undefined || groups['from'] !== device) continue;
      next = groups['device'] ?? null;
      break;
    }
    if (next === null) return { at, device, hops };
    // `n1-guest0` of router 1 is plugged to `o1-guest0` of router 2.
    const number = Number(next.slice(1, 2));
    at = next.startsWith('n') ? number + 1 : number;
    device = `${next.startsWith('n') ? 'o' : 'n'}${next.slice(1)}`;
  }
  return null;
};

/** A whole chain of that length, oldest first. */
const chain = (length: number): Handover[] =>
  Array.from({ length }, (_none, index) => ({
    older: index === 0 ? [] : between(index - 1).down,
    newer: index === length - 1 ? [] : between(index).up,
  }));

const packets = (length: number): fc.Arbitrary<Packet> =>
  fc.record({
    at: fc.integer({ min: 0, max: length - 1 }),
    leg: fc.constantFrom(...LEGS),
    owner: fc.option(fc.integer({ min: 0, max: length - 1 }), { nil: null }),
    question: fc.boolean(),
  });

const anyChain = fc
  .integer({ min: 2, max: 5 })
  .chain((length) => packets(length).map((packet) => ({ length, packet })));

test('wherever a packet comes in, it ends with the router that knows its connection, else with the newest', (t) => {
  fc.assert(
    fc.property(anyChain, ({ length, packet }) => {
      const end = walk(rulesOf(chain(length)), packet);
      const expected = packet.question ? packet.at : (packet.owner ?? length - 1);
      return (
        end !== null &&
        end.at === expected &&
        // On the leg it came from.
        (end.device === packet.leg || end.device.endsWith(`-${packet.leg}`)) &&
        end.hops <= 2 * (length - 1)
      );
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('before the hand-over nothing that comes to the active router leaves it', (t) => {
  fc.assert(
    fc.property(packets(2), (packet) => {
      const [, successor] = chain(2);
      // The successor alone knows of the link; only what the fabric sends to the active one counts.
      const end = walk(rulesOf([undefined, successor]), { ...packet, at: 0 });
      return end?.at === 0 && end.hops === 0;
    }),
  );
  t.pass();
});

test('swapping the order of two: newest-to-be first ends every packet, the other way round goes round for ever', (t) => {
  const { up, down } = between(0);
  const draining: Handover = { older: [], newer: up };
  const successor: Handover = { older: down, newer: [] };
  const back: Handover = { older: up, newer: [] };
  const leaving: Handover = { older: [], newer: down };
  const unknown: Packet = { at: 0, leg: 'guest0', owner: null, question: false };
  for (const at of [0, 1]) {
    for (const owner of [null, 0, 1]) {
      const packet = { ...unknown, at, owner };
      const between2 = walk(rulesOf([back, successor]), packet);
      t.not(between2, null);
      if (owner !== null) t.is(between2?.at, owner);
      t.is(walk(rulesOf([back, leaving]), packet)?.at, owner ?? 0);
    }
  }
  t.is(walk(rulesOf([draining, leaving]), unknown), null);
});

/** Links between two routers of a chain that need not be next to each other, by their numbers. */
const joined = (
  low: number,
  high: number,
): { readonly up: HandoverLink[]; readonly down: HandoverLink[] } => {
  const see = (mine: 'n' | 'o'): HandoverLink[] =>
    LEGS.map((leg, index) => {
      const first = (low * 8 + high) * 4 + index * 2;
      const ends = {
        n: { mac: `02:00:00:${low}${high}:00:0${index}`, address: `169.254.77.${first % 256}` },
        o: { mac: `02:00:00:${low}${high}:01:0${index}`, address: `169.254.77.${(first % 256) + 1}` },
      };
      const other = ends[mine === 'n' ? 'o' : 'n'];
      return {
        id: `lnk-${low}-${high}-${index}`,
        leg: `leg-${leg}`,
        device: `${mine}${low}${high}-${leg}`,
        mac: ends[mine].mac,
        address: `${ends[mine].address}/31`,
        peer: other.address,
        peerMac: other.mac,
      };
    });
  return { up: see('n'), down: see('o') };
};

const heard = (links: readonly HandoverLink[]): HandoverLink[] =>
  links.map((link) => ({ ...link, receiveOnly: true }));

/** Where each device is, and the other end of its wire. */
const otherEnd = (device: string): { readonly at: number; readonly device: string } => {
  const [, side = '', low = '', high = '', leg = ''] =
    /^(?<side>[no])(?<low>\d)(?<high>\d)-(?<leg>.+)$/.exec(device) ?? [];
  return side === 'n'
    ? { at: Number(high), device: `o${low}${high}-${leg}` }
    : { at: Number(low), device: `n${low}${high}-${leg}` };
};

/** Steering of each router at the time a packet comes to it for the `hop`th time. */
type RulesAt = (at: number, hop: number) => readonly string[];

const follow = (
  rules: RulesAt,
  { at: first, leg, owner }: Omit<Packet, 'question'>,
): { readonly at: number; readonly device: string } | null => {
  let at = first;
  let device: string = leg;
  for (let hop = 0; hop <= 30; hop += 1) {
    let next: string | null = null;
    if (owner !== at)
      for (const rule of rules(at, hop)) {
        const groups = RULE.exec(rule)?.groups;
        if (groups === undefined || groups['from'] !== device) continue;
        next = groups['device'] ?? null;
        break;
      }
    if (next === null) return { at, device };
    ({ at, device } = otherEnd(next));
  }
  return null;
};

/**
 * Router 2 of the chain 0 - 1 - 2 - 3 - 4 is taken out, a document at a time; each stage is whole chains' documents. Frames
 * come to the last two only: which of them is active is being changed just now.
 */
const splice = (): readonly (readonly Handover[])[] => {
  const [below, low, high, above] = [joined(0, 1), joined(1, 2), joined(2, 3), joined(3, 4)];
  const past = joined(1, 3);
  const one = (...newer: HandoverLink[][]): Handover => ({ older: below.down, newer: newer.flat() });
  const three = (...older: HandoverLink[][]): Handover => ({ older: older.flat(), newer: above.up });
  const rest = (first: Handover, third: Handover): Handover[] => [
    { older: [], newer: below.up },
    first,
    { older: low.down, newer: high.up },
    third,
    { older: above.down, newer: [] },
  ];
  return [
    rest(one(low.up), three(high.down)),
    rest(one(low.up, heard(past.up)), three(high.down)),
    rest(one(low.up, heard(past.up)), three(high.down, heard(past.down))),
    rest(one(past.up, heard(low.up)), three(high.down, heard(past.down))),
    rest(one(past.up, heard(low.up)), three(past.down, heard(high.down))),
    rest(one(past.up), three(past.down, heard(high.down))),
    rest(one(past.up), three(past.down)),
  ];
};

const traveller = (owners: readonly number[]) =>
  fc.record({
    at: fc.constantFrom(3, 4),
    leg: fc.constantFrom(...LEGS),
    owner: fc.option(fc.constantFrom(...owners), { nil: null }),
    /** Before which of its hops the chain is changed. */
    changes: fc.integer({ min: 0, max: 10 }),
  });

test('while a router leaves from the middle of a chain every packet ends where it is known, else with the newest', (t) => {
  const stages = splice().map((handovers) => rulesOf(handovers));
  const ends = (
    stage: number,
    changes: number,
    packet: Omit<Packet, 'question'>,
    rest: readonly string[][][],
  ) => follow((at, hop) => rest[hop < changes ? stage : stage + 1]?.[at] ?? [], packet);
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: stages.length - 2 }),
      // From the first stage in which a router sends past it, nobody asks the one that leaves for certain: nothing is known there alone.
      traveller([0, 1, 3, 4]),
      (stage, { changes, ...packet }) => {
        const end = ends(stage, changes, packet, stages as string[][][]);
        return (
          end !== null &&
          end.at === (packet.owner ?? 4) &&
          (end.device === packet.leg || end.device.endsWith(`-${packet.leg}`))
        );
      },
    ),
    { numRuns: 1000 },
  );
  t.pass();
});

test('control: sent past a router that is not heard yet, or forgotten while it still sends, packets end nowhere or at the wrong router', (t) => {
  const stages = splice().map((handovers) => rulesOf(handovers));
  const [first, , , past, , , last] = stages as [
    string[][],
    string[][],
    string[][],
    string[][],
    string[][],
    string[][],
    string[][],
  ];
  const unknown = { at: 4, leg: 'guest0', owner: null } as const;
  /** Of stage `of`, but for one router, which is still (or already) as in stage `as`. */
  const mixed =
    (of: string[][], router: number, as: string[][]): RulesAt =>
    (at) =>
      (at === router ? as : of)[at] ?? [];
  // 1 sends past before 3 hears: 3 takes it for its own though it drains.
  t.is(follow(mixed(past, 3, first), unknown)?.at, 3);
  // 3 sends past before 1 hears: 1 neither asks 0 nor hands back.
  t.is(follow(mixed(last, 1, first), { ...unknown, owner: 0 })?.at, 1);
  // Both forget the middle one at once while a packet is in it: 1 takes it for its own.
  t.is(follow((at, hop) => (hop < 3 ? first : last)[at] ?? [], unknown)?.at, 1);
  // All of it in its order, and it ends where it should.
  t.is(follow((at, hop) => (hop < 3 ? first : past)[at] ?? [], unknown)?.at, 4);
});
