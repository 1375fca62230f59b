/** Whatever the way to a document, what is in force at its end is what the document alone leads to. */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import { applyRouterDocumentChange, type RouterDocument } from 'documents';
import fc from 'fast-check';
import { type KernelNftables, openNftables } from 'nftables-json';
import { FakeNftables } from 'nftables-json/fake';
import { acceptChange } from '../document/accept.ts';
import { shareItems } from '../document/share-items.ts';
import { rulesetFeatures } from '../features.ts';
import { RulesetState } from '../ruleset/apply.ts';
import { disjointBoxes } from '../ruleset/boxes.ts';
import type { Box } from '../ruleset/fragment.ts';
import { Ledger } from '../ruleset/ledger.ts';
import { renderRuleset } from '../ruleset/render.ts';
import type { System } from '../system.ts';
import { anyChange, anyWalk } from './support/arbitrary.ts';

const interval = fc
  .tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 6 }))
  .map(([first, more]) => [first, first + more] as const);
const covers = (box: Box, point: readonly number[]): boolean =>
  box.every(([first, last], at) => first <= (point[at] as number) && (point[at] as number) <= last);

test('disjoint boxes cover what the boxes cover, each point once, for its first owner', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(interval, interval), { maxLength: 8 }), (boxes) => {
      const owned = boxes.map((box, index) => ({ box, owner: String(index) }));
      const pieces = disjointBoxes(owned);
      for (let x = 0; x <= 18; x += 1) {
        for (let y = 0; y <= 18; y += 1) {
          const first = owned.find(({ box }) => covers(box, [x, y]))?.owner;
          const found = pieces.filter(({ box }) => covers(box, [x, y]));
          if (found.length !== (first === undefined ? 0 : 1) || found[0]?.owner !== first) return false;
        }
      }
      return true;
    }),
  );
  t.pass();
});

test('checking only what a change touches finds a problem exactly when checking everything does', (t) => {
  const verifies = rulesetFeatures.map(({ verify }) => verify);
  let refused = 0;
  fc.assert(
    fc.property(anyChange, ({ document, change }) => {
      const scoped = acceptChange(change, document, verifies);
      const next = applyRouterDocumentChange(document, change) as RouterDocument;
      const whole = verifies.flatMap((verify) => verify(next));
      if (whole.length > 0) refused += 1;
      return (scoped.outcome === 'accepted') === (whole.length === 0);
    }),
    { numRuns: 500 },
  );
  // Both ways were taken.
  t.true(refused > 20 && refused < 480, `${refused} refused`);
});

/** Sets and what is in them, as text. */
const contents = (ledger: Ledger, sets: Iterable<string>): string[] =>
  [...sets]
    .flatMap((set) =>
      [...ledger.elements(set)].map(([key, { value, owner }]) => `${set} ${key} ${value} ${owner}`),
    )
    .toSorted();

test('the ledger ends with the elements and owners of the last document, and its changes lead there', (t) => {
  fc.assert(
    fc.property(anyWalk(6), (documents) => {
      const ledger = new Ledger();
      const replayed = new Map<string, Set<string>>();
      let before: RouterDocument | null = null;
      for (const document of documents) {
        const next: RouterDocument = before === null ? document : shareItems(before, document);
        before = next;
        const ruleset = renderRuleset(rulesetFeatures, next);
        const stage = ledger.stage(ruleset.parts, ruleset.counting);
        for (const [set, { remove, add }] of stage.changes) {
          const elements = replayed.get(set) ?? new Set();
          replayed.set(set, elements);
          for (const key of remove) {
            const found = [...elements].find((element) => element === key || element.startsWith(`${key} : `));
            if (found === undefined) return false;
            elements.delete(found);
          }
          for (const element of add) {
            if (elements.has(element)) return false;
            elements.add(element);
          }
        }
        stage.commit();
        const alone = new Ledger();
        alone.stage(ruleset.parts, ruleset.counting).commit();
        const wanted = contents(alone, ruleset.sets.keys());
        if (contents(ledger, ruleset.sets.keys()).join('\n') !== wanted.join('\n')) return false;
        const texts = [...replayed].flatMap(([set, elements]) =>
          [...elements].map((element) => `${set} ${element}`),
        );
        if (texts.length !== wanted.length) return false;
      }
      return true;
    }),
    { numRuns: 300 },
  );
  t.pass();
});

const systemOf = (nftables: System['nftables']): System =>
  ({ nftables, conntrack: { count: () => 0 } }) as unknown as System;

const rulesetOf = (document: RouterDocument) => renderRuleset(rulesetFeatures, document);

/** Applies the documents one after the other and returns what nftables then holds. */
const walked = async (nftables: System['nftables'], documents: readonly RouterDocument[]) => {
  const state = new RulesetState(rulesetFeatures);
  const system = systemOf(nftables);
  let before: RouterDocument | null = null;
  for (const document of documents) {
    before = before === null ? document : shareItems(before, document);
    await state.apply(system, rulesetOf(before));
  }
  return { state, system, last: before as RouterDocument };
};

/** Lines of a listing in an order that does not depend on how it came about. */
const sorted = (listing: string): string =>
  listing.replaceAll(/elements = \{([^}]*)\}/g, (_all, elements: string) =>
    elements
      .split(',')
      .map((one) => one.trim())
      .toSorted()
      .join('\n'),
  );

const netnsOf = (
  t: { readonly teardown: (task: () => void) => void },
  letter: string,
): { readonly name: string; readonly nftables: KernelNftables } => {
  const name = `svt${process.pid}${letter}`;
  t.teardown(() => spawnSync('ip', ['netns', 'del', name]));
  spawnSync('ip', ['netns', 'add', name]);
  const nftables = openNftables({ netns: `/run/netns/${name}` });
  t.teardown(() => void nftables.close());
  return { name, nftables };
};

const listing = (name: string): string =>
  sorted(
    spawnSync('ip', ['netns', 'exec', name, '/usr/sbin/nft', '-s', 'list', 'ruleset'], { encoding: 'utf8' })
      .stdout,
  );

test('kernel: a walk over documents ends in the table of the last one, and a look finds nothing to mend', async (t) => {
  const long = netnsOf(t, 'a');
  const short = netnsOf(t, 'b');
  await fc.assert(
    fc.asyncProperty(anyWalk(5), async (documents) => {
      for (const { nftables } of [long, short]) await nftables.apply('flush ruleset');
      const { state, system, last } = await walked(long.nftables, documents);
      await walked(short.nftables, [last]);
      t.is(listing(long.name), listing(short.name));
      // Another process that finds this table has nothing to change.
      const adopted = await new RulesetState(rulesetFeatures).plan(system, rulesetOf(last));
      t.is(adopted.text, '');
      await long.nftables.apply(
        'add element inet selvage outer_legs { "foreign0" }\nflush chain inet selvage forward',
      );
      t.true((await state.heal(system, rulesetOf(last))).changes.length === 2);
      t.is(listing(long.name), listing(short.name));
    }),
    { numRuns: 25 },
  );
});

test('fake: the same walk', async (t) => {
  await fc.assert(
    fc.asyncProperty(anyWalk(5), async (documents) => {
      const long = new FakeNftables();
      const short = new FakeNftables();
      const { last } = await walked(long, documents);
      await walked(short, [last]);
      const lines = async (fake: FakeNftables) =>
        (await fake.listText())
          .split('\n')
          .map((line) => line.replace(/,$/, ''))
          .toSorted()
          .join('\n');
      t.is(await lines(long), await lines(short));
    }),
    { numRuns: 50 },
  );
});
