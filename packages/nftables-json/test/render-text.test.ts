import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'ava';
import {
  commentText,
  type Command,
  elementText,
  type Expression,
  isName,
  renderJson,
  renderText,
  type Statement,
  statementText,
} from '../src/index.ts';
import { parseText } from '../src/text/parse-text.ts';
import { kernel } from './support/namespace.ts';

// A golden file is a sentence of intent, the commands as JSON, and the whole text. UPDATE_GOLDEN=1 writes the text anew.
const folder = new URL('golden/', import.meta.url);
for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
  const path = new URL(file, folder);
  const [intent, json, text] = readFileSync(path, 'utf8').split(/^--- .*\n/m) as [string, string, string];
  const commands = JSON.parse(json) as Command[];

  test(`golden ${file}: ${intent.trim()}`, async (t) => {
    const rendered = renderText(commands);
    if (process.env['UPDATE_GOLDEN'] === '1')
      writeFileSync(path, `${intent}--- commands\n${json}--- text\n${rendered}`);
    else t.is(rendered, text);
    t.deepEqual(
      parseText(rendered).map(({ command }) => command),
      commands,
    );
    await t.notThrowsAsync(kernel(t.teardown).apply(rendered));
  });
}

const place = { family: 'inet', table: 'vr', chain: 'main' } as const;
const rule = (...expr: Statement[]): Command[] => [{ add: { rule: { ...place, expr } } }];
const matching = (left: Expression, right: Expression): Command[] =>
  rule({ match: { op: '==', left, right } });

const refused: readonly (readonly [string, Command[], string])[] = [
  ['a reserved word', [{ add: { table: { family: 'inet', name: 'fwd' } } }], 'name'],
  ['a name with capitals', [{ add: { table: { family: 'inet', name: 'Forward' } } }], 'name'],
  ['an empty name', [{ add: { table: { family: 'inet', name: '' } } }], 'name'],
  [
    'a name that ends a statement',
    [{ add: { table: { family: 'inet', name: 'a; flush ruleset' } } }],
    'name',
  ],
  ['a name that is too long', [{ add: { table: { family: 'inet', name: 'a'.repeat(129) } } }], 'name'],
  ['a jump to a reserved word', rule({ jump: { target: 'drop' } }), 'name'],
  ['a set that is no name', matching({ payload: { protocol: 'ip', field: 'saddr' } }, '@a b'), 'name'],
  [
    'a comment with a quote',
    [{ add: { rule: { ...place, expr: [{ accept: null }], comment: 'a"b' } } }],
    'string',
  ],
  [
    'a comment with a newline',
    [{ add: { rule: { ...place, expr: [{ accept: null }], comment: 'a\nb' } } }],
    'string',
  ],
  [
    'a comment of 128 bytes',
    [{ add: { rule: { ...place, expr: [{ accept: null }], comment: 'ä'.repeat(64) } } }],
    'string',
  ],
  ['a log prefix with a variable', rule({ log: { prefix: 'a $b' } }), 'string'],
  ['an interface with a blank', matching({ meta: { key: 'iifname' } }, 'a b'), 'string'],
  ['an interface of 16 letters', matching({ meta: { key: 'iifname' } }, 'a'.repeat(16)), 'string'],
  [
    'an element with a quote',
    [{ add: { element: { family: 'inet', table: 'vr', name: 'many', elem: ['a" }'] } } }],
    'string',
  ],
  [
    'an address that is none (nft would ask the DNS)',
    matching({ payload: { protocol: 'ip', field: 'saddr' } }, '10.0.0.256'),
    'value',
  ],
  [
    'an address with a leading zero',
    [{ add: { element: { family: 'inet', table: 'vr', name: 'many', elem: ['010.0.0.1'] } } }],
    'value',
  ],
  ['a negative number', matching({ meta: { key: 'mark' } }, -1), 'number'],
  ['a fraction', matching({ payload: { protocol: 'tcp', field: 'dport' } }, 80.5), 'number'],
  ['not a number', rule({ limit: { rate: Number.NaN, per: 'second' } }), 'number'],
  [
    'a field that is text of a rule',
    matching({ payload: { protocol: 'ip', field: 'saddr 1.2.3.4; drop' } }, 1),
    'value',
  ],
  ['a rule of nothing', rule(), 'value'],
  [
    'a base chain without priority',
    [{ add: { chain: { family: 'ip', table: 'vr', name: 'main', type: 'nat', hook: 'input' } } }],
    'value',
  ],
  [
    'a replacement without a handle',
    [{ replace: { rule: { ...place, expr: [{ accept: null }] } } }],
    'value',
  ],
  ['a statement of another schema', rule({ xt: null } as unknown as Statement), 'unsupported'],
];

for (const [title, commands, code] of refused) {
  test(`refused: ${title}`, (t) => {
    t.throws(() => renderText(commands), { name: 'RenderError', code });
    t.throws(() => renderJson(commands), { name: 'RenderError', code });
  });
}

test('every name nft refuses is refused here, and the ordinary ones are not', async (t) => {
  const nft = kernel(t.teardown);
  const words =
    readFileSync(new URL('../src/words.ts', import.meta.url), 'utf8').match(/\b[a-z][a-z0-9]*\b/g) ?? [];
  let refusals = 0;
  for (const word of new Set(words)) {
    const text = `add table inet vr
add chain inet vr main
add set inet vr ${word} { type mark; }
add element inet vr ${word} { 1 }
add counter inet vr ${word}
add chain inet vr ${word}
add rule inet vr main meta mark @${word} counter name "${word}" jump ${word}\n`;
    const taken = await nft.check(text).then(
      () => true,
      () => false,
    );
    if (!taken) refusals += 1;
    t.true(taken || !isName(word), `nft refuses ${word}`);
  }
  t.true(refusals > 100);
  for (const word of [
    'forward',
    'input',
    'prerouting',
    'pre',
    'dnat4',
    'fw4any',
    'ip_198_51_100_10',
    'state',
    'steer',
  ])
    t.true(isName(word), word);
});

test('comments of people become comments of nft', async (t) => {
  t.is(commentText('say "hi"\n\u0000there'), "say 'hi'  there");
  t.is(Buffer.byteLength(commentText('ä'.repeat(200))), 126);
  t.is(commentText(`${'a'.repeat(126)}😀`), 'a'.repeat(126));
  const nft = kernel(t.teardown);
  for (const text of ['\ud800 half', '"; drop', '\\', 'a\\"', '$x', '# }', '日本語'.repeat(50)]) {
    const comment = commentText(text);
    await nft.apply(
      renderText([
        {
          add: {
            set: {
              family: 'ip',
              table: 'x1',
              name: 's1',
              type: 'mark',
              comment,
              elem: [{ elem: { val: 1, comment } }],
            },
          },
        },
      ]).replace(/^/, 'add table ip x1\n'),
    );
    const [listed] = await nft.list({ family: 'ip', table: 'x1', set: 's1' });
    t.like(listed, { set: { comment, elem: [{ elem: { val: 1, comment } }] } });
    await nft.apply('delete table ip x1\n');
  }
});

test('a comment line cannot become a command', (t) => {
  t.is(renderText([{ comment: 'one\nflush ruleset' }]), '# one flush ruleset\n');
});

test('elements and statements one by one', (t) => {
  t.is(
    elementText([{ concat: ['198.51.100.1', 'tcp', 80] }, { concat: ['10.1.1.2', 8080] }]),
    '198.51.100.1 . tcp . 80 : 10.1.1.2 . 8080',
  );
  t.is(
    elementText({ elem: { val: { concat: ['fd00::1', { range: [1, 9] }] }, timeout: 5, comment: 'x' } }),
    'fd00::1 . 1-9 timeout 5s comment "x"',
  );
  t.is(elementText('vlan'), '"vlan"');
  t.is(statementText({ dnat: { family: 'ip6', addr: 'fd00::1', port: 80 } }), 'dnat ip6 to [fd00::1]:80');
});

test('20,000 elements render, each once', (t) => {
  const elem = Array.from({ length: 20_000 }, (_, at): [Expression, Expression] => [
    { concat: ['198.51.100.1', 'tcp', 1 + at] },
    { concat: [`10.0.${at >> 8}.${at & 255}`, 8080] },
  ]);
  const commands: Command[] = [{ add: { element: { family: 'inet', table: 'vr', name: 'dnat4', elem } } }];
  const started = performance.now();
  const text = renderText(commands);
  t.log(`${(performance.now() - started).toFixed(1)} ms`);
  t.is(text.match(/198\.51\.100\.1 \. tcp \. \d+ :/g)?.length, 20_000);
});
