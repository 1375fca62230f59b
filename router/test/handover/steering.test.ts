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
