import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import {
  addCommands,
  elementText,
  keyOf,
  type Nftables,
  NftablesError,
  normalise,
  type NftObject,
  renderText,
  type SetItem,
} from '../src/index.ts';
import { FakeNftables } from '../src/fake.ts';
import { cases, prepared } from './support/cases.ts';
import { kernel } from './support/namespace.ts';
import { ruleset } from './support/objects.ts';

const implementations: readonly (readonly [string, (t: ExecutionContext) => Nftables])[] = [
  ['fake', () => new FakeNftables()],
  ['kernel', (t) => kernel(t.teardown)],
];

async function outcome(nft: Nftables, text: string): Promise<NftablesError | undefined> {
  try {
    await nft.apply(text);
    return undefined;
  } catch (error) {
    if (error instanceof NftablesError) return error;
    throw error;
  }
}

for (const [name, open] of implementations) {
  test(`${name}: each case ends as it should, and a refused one changes nothing`, async (t) => {
    const nft = open(t);
    for (const [title, text, code] of cases) {
      await nft.apply(`flush ruleset\n${prepared}`);
      const before = normalise(await nft.list());
      const generation = await nft.generation();
      const checked = await nft.check(text).then(
        () => undefined,
        (error: unknown) => (error as NftablesError).code,
      );
      t.is(checked, code, `${title}: check`);
      t.deepEqual(normalise(await nft.list()), before, `${title}: check changed something`);
      const error = await outcome(nft, text);
      t.is(error?.code, code, `${title}: ${error?.message ?? 'no error'}`);
      if (error === undefined) continue;
      t.deepEqual(normalise(await nft.list()), before, `${title}: a refused transaction left something`);
      t.is(await nft.generation(), generation, title);
      t.true(error.line !== undefined && error.line >= 1, title);
      t.is(text.split('\n')[(error.line as number) - 1]?.trim(), error.statement, title);
    }
  });

  test(`${name}: generation changes with every transaction that does something`, async (t) => {
    const nft = open(t);
    const seen = [await nft.generation()];
    for (const text of [
      prepared,
      'add element inet vr addresses { 192.0.2.7 }\n',
      'delete element inet vr addresses { 192.0.2.7 }\n',
    ]) {
      await nft.apply(text);
      seen.push(await nft.generation());
    }
    t.is(new Set(seen).size, 4);
    await nft.list();
    t.is(await nft.generation(), seen[3] as number);
  });

  test(`${name}: listings of a part`, async (t) => {
    const nft = open(t);
    await nft.apply(prepared);
    await nft.apply('add table ip other\nadd chain ip other x1\n');
    const kinds = async (...args: Parameters<Nftables['list']>) =>
      (await nft.list(...args)).map((object) => Object.keys(object)[0]).sort();
    t.deepEqual(await kinds({ family: 'ip' }), ['chain', 'table']);
    t.deepEqual(await kinds({ family: 'ip', table: 'other', chain: 'x1' }), ['chain']);
    t.deepEqual(await kinds({ family: 'inet', table: 'vr', set: 'addresses' }), ['set']);
    t.deepEqual(await kinds({ family: 'inet', table: 'vr', map: 'targets' }), ['map']);
    t.deepEqual(await kinds({ family: 'inet', table: 'vr', chain: 'main' }), ['chain', 'rule', 'rule']);
    const terse = await nft.list({ family: 'inet', table: 'vr' }, { terse: true });
    t.true(terse.every((object) => !('set' in object) || object.set.elem === undefined));
    t.true(
      (await nft.list({}, { handles: true })).every(
        (object) => 'handle' in (Object.values(object)[0] as object),
      ),
    );
    await t.throwsAsync(nft.list({ family: 'inet', table: 'nothing' }), { code: 'missing' });
    t.regex(await nft.listText({ family: 'inet', table: 'vr' }), /192\.0\.2\.1/);
  });

  test(`${name}: rules go by their handle`, async (t) => {
    const nft = open(t);
    await nft.apply(prepared);
    const rules = (await nft.list({}, { handles: true })).flatMap((object) =>
      'rule' in object && object.rule.chain === 'main' ? [object.rule] : [],
    );
    const [first, second] = rules as [(typeof rules)[number], (typeof rules)[number]];
    await nft.apply(renderText([{ replace: { rule: { ...first, expr: [{ drop: null }] } } }]));
    await nft.apply(
      renderText([
        { delete: { rule: { family: 'inet', table: 'vr', chain: 'main', handle: second.handle as number } } },
      ]),
    );
    const left = (await nft.list()).filter((object) => 'rule' in object && object.rule.chain === 'main');
    t.deepEqual(left, [{ rule: { family: 'inet', table: 'vr', chain: 'main', expr: [{ drop: null }] } }]);
    await t.throwsAsync(nft.apply(`delete rule inet vr main handle ${second.handle}\n`), { code: 'missing' });
  });

  test(`${name}: closed is closed`, async (t) => {
    const nft = open(t);
    await nft.generation();
    await nft.close();
    await t.throwsAsync(nft.apply('add table ip x1\n'), { code: 'helper-exited' });
  });
}

test('the same cases leave the fake and the kernel in the same state', async (t) => {
  const real = kernel(t.teardown);
  for (const [title, text] of cases) {
    const fake = new FakeNftables();
    await real.apply(`flush ruleset\n${prepared}`);
    await fake.apply(prepared);
    await outcome(real, text);
    await outcome(fake, text);
    t.deepEqual(normalise(await fake.list()), normalise(await real.list()), title);
  }
});

type Elements = { readonly name: string; readonly map: boolean; readonly elem: readonly SetItem[] };

function elementsOf(objects: readonly NftObject[]): Elements[] {
  return objects.flatMap((object): Elements[] => {
    if ('map' in object) return [{ name: object.map.name, map: true, elem: object.map.elem ?? [] }];
    return 'set' in object ? [{ name: object.set.name, map: false, elem: object.set.elem ?? [] }] : [];
  });
}

test('random walks of element changes: fake and kernel agree at every step', async (t) => {
  const real = kernel(t.teardown);
  const steps = fc.array(
    fc.tuple(fc.nat(), fc.nat(), fc.constantFrom<'add' | 'create' | 'delete'>('add', 'create', 'delete')),
    { minLength: 1, maxLength: 12 },
  );
  await fc.assert(
    fc.asyncProperty(ruleset, steps, async (objects, walk) => {
      const fake = new FakeNftables();
      const text = renderText(addCommands(objects));
      await real.apply(`flush ruleset\n${text}`);
      await fake.apply(text);
      const sets = elementsOf(objects).filter(({ elem }) => elem.length > 0);
      if (sets.length === 0) return;
      for (const [which, item, verb] of walk) {
        const { name, elem } = sets[which % sets.length] as Elements;
        const chosen = elem[item % elem.length] as SetItem;
        const line = `${verb} element inet vr ${name} { ${elementText(verb === 'delete' ? keyOf(chosen) : chosen)} }\n`;
        const [a, b] = [await outcome(real, line), await outcome(fake, line)];
        t.is(b?.code, a?.code, line);
      }
      t.deepEqual(normalise(await fake.list()), normalise(await real.list()));
    }),
    { numRuns: 60 },
  );
});

test('the fake keeps the texts it was given', async (t) => {
  const fake = new FakeNftables();
  await fake.apply(prepared);
  await t.throwsAsync(fake.apply('delete table ip x1\n'), { code: 'missing' });
  t.deepEqual(fake.applied, [prepared]);
});
