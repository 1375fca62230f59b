import test from 'ava';
import fc from 'fast-check';
import {
  applyRouterDocumentChange,
  changeCollection,
  type RouterDocumentChange,
  verifyRouterDocumentChange,
} from '../src/index.ts';
import { exampleRouterDocument } from './example.ts';

const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
const item = fc.record({ id: fc.integer({ min: 0, max: 30 }).map((n) => `fw-${n}`), value: fc.integer() });
const items = fc.uniqueArray(item, { selector: ({ id }) => id }).map((list) => list.sort(byId));

test('changing a collection equals changing a map, stays in order, and keeps what it does not touch', (t) => {
  fc.assert(
    fc.property(
      items,
      items,
      fc.array(fc.integer({ min: 0, max: 30 }).map((n) => `fw-${n}`)),
      (base, upsert, remove) => {
        const expected = new Map(base.map((entry) => [entry.id, entry]));
        for (const id of remove) expected.delete(id);
        for (const entry of upsert) expected.set(entry.id, entry);
        const changed = changeCollection(base, upsert, remove);
        t.deepEqual(changed, [...expected.values()].sort(byId));
        t.true(changed.every((entry) => entry === expected.get(entry.id)));
      },
    ),
  );
});

test('one changed item leads where the same change among others leads', (t) => {
  fc.assert(
    fc.property(items, item, fc.boolean(), (base, one, comes) => {
      const frozen = Object.freeze([...base]);
      const changed = changeCollection(frozen, comes ? [one] : [], comes ? [] : [one.id]);
      // A removal of what is nowhere makes it a change of two.
      t.deepEqual(changed, changeCollection(frozen, comes ? [one] : [], comes ? ['zz'] : [one.id, 'zz']));
    }),
  );
});

test('a change leads from its base to the next generation and touches nothing else', (t) => {
  const change: RouterDocumentChange = {
    schemaVersion: 1,
    id: exampleRouterDocument.id,
    baseGeneration: 7,
    generation: 8,
    collections: {
      staticNats: {
        upsert: [{ id: 'sn-000000000002', publicAddress: '198.51.100.12', guestAddress: '10.1.1.13' }],
        remove: ['sn-000000000001'],
      },
    },
  };
  t.deepEqual(verifyRouterDocumentChange(change), []);
  const next = applyRouterDocumentChange(exampleRouterDocument, change);
  t.is(next?.generation, 8);
  t.deepEqual(
    next?.staticNats.map(({ id }) => id),
    ['sn-000000000002'],
  );
  t.is(next?.portForwards, exampleRouterDocument.portForwards);
  t.is(next?.dns, exampleRouterDocument.dns);
});

test('a change from another base or for another router is not applied', (t) => {
  const change: RouterDocumentChange = {
    schemaVersion: 1,
    id: exampleRouterDocument.id,
    baseGeneration: 6,
    generation: 8,
    collections: {},
  };
  t.is(applyRouterDocumentChange(exampleRouterDocument, change), null);
  t.is(
    applyRouterDocumentChange(exampleRouterDocument, { ...change, baseGeneration: 7, id: 'rtr-other' }),
    null,
  );
});

test('a change with unknown collections or malformed items is refused', (t) => {
  const problems = verifyRouterDocumentChange({
    schemaVersion: 1,
    id: 'rtr-000000000001',
    baseGeneration: 1,
    generation: 2,
    collections: {
      nonsense: {},
      staticNats: {
        upsert: [{ id: 'sn-1', publicAddress: '198.51.100.300', guestAddress: '10.1.1.13' }],
        remove: [],
      },
    },
  });
  t.deepEqual(problems.map(({ pointer, code }) => `${pointer} ${code}`).sort(), [
    '/collections/nonsense unknown-field',
    '/collections/staticNats/upsert/0/publicAddress bad-format',
  ]);
});
