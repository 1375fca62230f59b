import test from 'ava';
import type { RouterDocument } from 'documents';
import fc from 'fast-check';
import type { RouterFacts } from '../../plan/facts.ts';
import { planRouter } from '../../plan/router.ts';
import { planStandbys } from '../../plan/standbys.ts';
import { arbitraryMask, arbitraryWorld, build } from './arbitrary-world.ts';

/** The same network's facts for its standby: another id, other ports, no place in the chain. */
const standingBy = (facts: RouterFacts): RouterFacts => ({
  ...facts,
  router: { ...facts.router, id: 'rtr-standby00000', ordinal: 9, createdAt: 99 },
  neighbours: { older: null, newer: null, heardOlder: null, heardNewer: null },
  ports: facts.ports.map(({ role }, index) => ({ id: `port-standby0000${index}`, role })),
});

const tail = (id: string): string => id.slice(id.indexOf('-') + 1);

/** With the names of one router's own things written as the other's, and its place in the chain left out. */
const renamed = (document: RouterDocument, from: RouterFacts, to: RouterFacts): unknown => {
  const { handover: _place, ...rest } = document;
  let text = JSON.stringify(rest).replaceAll(from.router.id, to.router.id);
  for (const [index, { id }] of from.ports.entries())
    text = text.replaceAll(tail(id), tail(to.ports[index]?.id ?? ''));
  const parsed = JSON.parse(text) as RouterDocument;
  // Collections are in order of their ids.
  return Object.fromEntries(
    Object.entries(parsed).map(([name, value]) => [
      name,
      Array.isArray(value)
        ? value.toSorted((a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1))
        : value,
    ]),
  );
};

test("a standby's document is the active router's, but for its id, its ports' ids and the place in the chain", (t) => {
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, arbitraryMask, (world, present, altered) => {
      const { facts } = build(world, 7, present, altered);
      const standby = standingBy(facts);
      const document = planRouter(standby);
      t.is(document.handover, undefined);
      t.deepEqual(renamed(document, standby, facts), renamed(planRouter(facts), facts, facts));
      t.false(JSON.stringify(document).includes(facts.router.id));
    }),
  );
});

test('control: with the other half of the source ports it would not be', (t) => {
  const [world] = fc.sample(arbitraryWorld, { numRuns: 1, seed: 1 });
  if (world === undefined) throw new TypeError('no world');
  const all = Array.from({ length: 64 }, () => true);
  const { facts } = build({ ...world, services: ['source-nat'] }, 7, all, all);
  const standby = standingBy(facts);
  const other = {
    ...standby,
    router: { ...standby.router, parity: facts.router.parity === 0 ? 1 : 0 } as const,
  };
  t.notDeepEqual(renamed(planRouter(other), standby, facts), renamed(planRouter(facts), facts, facts));
});

test('every standby is paired with the active router of its network, and with no other', (t) => {
  const router = (id: string, network: string, role: 'active' | 'standby' | 'draining') => ({
    id,
    network,
    ordinal: 0,
    createdAt: 0,
    active: role === 'active',
    standby: role === 'standby',
    older: null,
    newer: null,
    heardOlder: null,
    heardNewer: null,
  });
  const routers = [
    router('rtr-1', 'net-1', 'active'),
    router('rtr-3', 'net-1', 'standby'),
    router('rtr-2', 'net-1', 'standby'),
    router('rtr-4', 'net-1', 'draining'),
    router('rtr-5', 'net-2', 'active'),
    // Its active router is on another host.
    router('rtr-6', 'net-3', 'standby'),
  ];
  t.deepEqual(planStandbys({ routers }), [
    { id: 'rtr-2', router: 'rtr-1', standby: 'rtr-2' },
    { id: 'rtr-3', router: 'rtr-1', standby: 'rtr-3' },
  ]);
});
