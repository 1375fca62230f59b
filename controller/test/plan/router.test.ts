import test from 'ava';
import { applyRouterDocumentChange, verifyRouterDocument, verifyRouterDocumentChange } from 'documents';
import fc from 'fast-check';
import { chainLinks } from '../../plan/chain-links.ts';
import type { ChainRouter, RouterFacts } from '../../plan/facts.ts';
import { planRouter } from '../../plan/router.ts';
import { planRouterChange } from '../../plan/router-change.ts';
import { gatherTouches, type Touched } from '../../plan/touched.ts';
import { arbitraryMask, arbitraryWorld, build, touchesBetween } from './arbitrary-world.ts';

/** The rows a store reads for a change: only those of the items touched. */
const restrict = (facts: RouterFacts, touched: Touched): RouterFacts => {
  const only = <Row extends { readonly id: string }>(
    rows: readonly Row[],
    ids: ReadonlySet<string> | undefined,
  ) => rows.filter((row) => ids?.has(row.id) ?? false);
  const guests = new Set([...(touched.items.dhcpHosts ?? []), ...(touched.items.metadataGuests ?? [])]);
  return {
    ...facts,
    publicIps:
      touched.items.legs === undefined ? facts.publicIps.filter((ip) => ip.sourceNat) : facts.publicIps,
    firewallRules: only(facts.firewallRules, touched.items.firewallRules),
    egressRules: only(facts.egressRules, touched.items.egressRules),
    portForwards: only(facts.portForwards, touched.items.portForwards),
    staticNats: only(facts.staticNats, touched.items.staticNats),
    loadBalancers: only(facts.loadBalancers, touched.items.loadBalancers),
    guests: only(facts.guests, guests),
  };
};

test('any intent is planned into a document that verifies', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, arbitraryMask, (world, present, altered) => {
      const document = planRouter(build(world, 3, present, altered).facts);
      t.deepEqual(verifyRouterDocument(document), []);
    }),
  );
});

test('the order of rows makes no difference', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, arbitraryMask, (world, present, altered) => {
      const { facts } = build(world, 3, present, altered);
      const shuffled = Object.fromEntries(
        Object.entries(facts).map(([name, rows]) => [name, Array.isArray(rows) ? rows.toReversed() : rows]),
      ) as unknown as RouterFacts;
      t.is(JSON.stringify(planRouter(shuffled)), JSON.stringify(planRouter(facts)));
    }),
  );
});

test('base and change give what planning everything gives', (t) => {
  let moved = 0;
  fc.assert(
    fc.property(
      arbitraryWorld,
      arbitraryMask,
      arbitraryMask,
      arbitraryMask,
      arbitraryMask,
      (world, presentBefore, presentAfter, alteredBefore, alteredAfter) => {
        const before = build(world, 3, presentBefore, alteredBefore).facts;
        const after = build(world, 9, presentAfter, alteredAfter).facts;
        const touched = gatherTouches(touchesBetween(before, after));
        if (touched === null) throw new Error('a touch of something unknown');
        const change = planRouterChange(restrict(after, touched), touched, 3);
        t.deepEqual(verifyRouterDocumentChange(change), []);
        const whole = planRouter(after);
        t.deepEqual(applyRouterDocumentChange(planRouter(before), change), whole);
        if (JSON.stringify(planRouter(before).firewallRules) !== JSON.stringify(whole.firewallRules))
          moved += 1;
      },
    ),
  );
  t.true(moved > 10, 'the random changes change something');
});

test('control: a change that does not name what it touched misses it', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, (world) => {
      const none = Array.from({ length: 64 }, () => false);
      const all = none.map(() => true);
      const full = { ...world, services: ['firewall'] };
      const before = build(full, 3, none, none).facts;
      const after = build(full, 4, all, none).facts;
      const touched = gatherTouches([]);
      if (touched === null) throw new Error('nothing is never everything');
      const change = planRouterChange(restrict(after, touched), touched, 3);
      t.notDeepEqual(applyRouterDocumentChange(planRouter(before), change), planRouter(after));
    }),
    { numRuns: 10 },
  );
});

test('everything, and what is not known, asks for the whole document', (t) => {
  t.is(gatherTouches([{ collection: '*', itemId: '*' }]), null);
  t.is(gatherTouches([{ collection: 'somethingNewer', itemId: 'x' }]), null);
  t.deepEqual(gatherTouches([{ collection: 'dns', itemId: '' }]), {
    items: {},
    dns: true,
    hostname: false,
    handover: false,
  });
});

test('services the offering has not are not planned', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, (world, mask) => {
      const document = planRouter(build({ ...world, services: [] }, 1, mask, mask).facts);
      const { legs, egressPolicies, ...rest } = document;
      t.is(legs.length, 2);
      t.is(egressPolicies.length, 1);
      for (const value of Object.values(rest)) if (Array.isArray(value)) t.deepEqual(value, []);
      t.deepEqual(document.dns, { domain: 'tenant.example', upstreams: [], records: [] });
    }),
    { numRuns: 20 },
  );
});

test('the two parities of a network have disjoint source ports', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, (world, mask) => {
      const [even, odd] = ([0, 1] as const).map(
        (parity) =>
          planRouter(build({ ...world, parity, services: ['source-nat'] }, 1, mask, mask).facts)
            .sourceNats[0],
      );
      t.deepEqual(even?.ports, { first: 10_000, last: 32_767 });
      t.deepEqual(odd?.ports, { first: 32_768, last: 60_999 });
      t.is(even?.id, odd?.id);
    }),
    { numRuns: 10 },
  );
});

test('routers of a chain have the same wires, whichever of them is asked, also when they change places', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, (world) => {
      const none = Array.from({ length: 64 }, () => false);
      const chained = none.map((_, index) => index >= 60);
      const { facts } = build(world, 3, none, chained);
      const { older, newer, heardOlder, heardNewer } = facts.neighbours;
      if (older === null || newer === null || heardOlder === null || heardNewer === null)
        throw new Error('the world has all of them');
      const own = { ...facts.router, ports: facts.ports };
      const alone = { older: null, newer: null, heardOlder: null, heardNewer: null };
      const seenFrom = (self: typeof older, neighbours: Partial<RouterFacts['neighbours']>) =>
        planRouter({
          ...facts,
          router: { ...facts.router, ...self },
          ports: self.ports,
          neighbours: { ...alone, ...neighbours },
        }).handover;
      const mine = seenFrom(own, facts.neighbours);
      for (const [side, neighbour, heard] of [
        [mine?.older, older, heardOlder],
        [mine?.newer, newer, heardNewer],
      ] as const)
        for (const [other, receiveOnly] of [
          [neighbour, undefined],
          [heard, true],
        ] as const) {
          const theirs = seenFrom(other, { newer: own })?.newer ?? [];
          t.is(theirs.length, 2);
          for (const link of theirs) {
            const here = side?.find(({ id }) => id === link.id);
            t.is(here?.receiveOnly, receiveOnly);
            t.is(here?.device, link.device);
            t.is(here?.address, `${link.peer}/31`);
            t.is(`${here?.peer}/31`, link.address);
            t.is(here?.peerMac, link.mac);
            t.is(here?.mac, link.peerMac);
          }
        }
      // Taken back: the same two, with their places exchanged.
      const back = seenFrom(
        { ...own, ordinal: older.ordinal },
        { newer: { ...older, ordinal: own.ordinal } },
      );
      t.deepEqual(
        back?.newer,
        mine?.older.filter(({ receiveOnly }) => receiveOnly !== true),
      );
      t.deepEqual(back?.older, []);
      // Who is a neighbour already is not only heard.
      t.deepEqual(seenFrom(own, { older, heardOlder: older }), seenFrom(own, { older }));
      t.false('handover' in planRouter({ ...facts, neighbours: alone }));
    }),
    { numRuns: 20 },
  );
});

test('every pair of routers of a network has wires of its own', (t) => {
  const chain = fc.uniqueArray(fc.nat(4095), { minLength: 3, maxLength: 16 }).chain((ordinals) =>
    fc.nat(1_000_000).map((first) =>
      ordinals.map(
        (ordinal, index): ChainRouter => ({
          id: `rtr-${String(index).padStart(12, '0')}`,
          ordinal: first + ordinal,
          createdAt: index,
          ports: [
            { id: `port-g${index}`, role: 'router-guest' },
            { id: `port-p${index}`, role: 'router-public' },
          ],
        }),
      ),
    ),
  );
  fc.assert(
    fc.property(chain, (routers) => {
      const ids = new Set<string>();
      let wires = 0;
      for (const [index, one] of routers.entries()) {
        const ends = routers.filter((other) => other !== one).flatMap((other) => chainLinks(one, other));
        const own = ends.map((link) => link.ends.find(({ router }) => router === one.id));
        // What meets in one router.
        for (const values of [ends.map(({ device }) => device), own.map((end) => end?.mac)])
          t.is(new Set(values).size, ends.length);
        t.is(new Set(ends.flatMap((link) => link.ends.map(({ address }) => address))).size, ends.length * 2);
        t.true(ends.every(({ device }) => device.length <= 15));
        for (const other of routers.slice(index + 1)) {
          t.deepEqual(chainLinks(one, other), chainLinks(other, one));
          for (const { id } of chainLinks(one, other)) {
            ids.add(id);
            wires += 1;
          }
        }
      }
      t.is(ids.size, wires);
    }),
    { numRuns: 30 },
  );
});
