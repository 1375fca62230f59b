/** The golden cases of the hand-over. */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import type { RouterDocument } from 'documents';
import { verifyRouterDocument } from 'documents';
import { renderHandover, steeringChain } from '../../handover/render.ts';
import { verifyHandover } from '../../handover/verify.ts';
import { assertGolden, goldenCases } from '../support/golden.ts';

const problems = (document: RouterDocument): string => {
  const shape = verifyRouterDocument(document);
  return [...shape, ...(shape.length > 0 ? [] : verifyHandover(document))]
    .map(({ pointer, code, message, hint }) => `${pointer} ${code}\n  ${message}.\n  ${hint}`)
    .join('\n');
};

const render = (document: RouterDocument): string => {
  const rendered = renderHandover(document);
  const present = new Set(rendered.links.map(({ device }) => device));
  const chains = (['ip', 'ip6'] as const).flatMap((family) => {
    const chain = steeringChain(rendered, family, present);
    return chain === null ? [] : [[`table ${family}: ${chain.hook}`, ...chain.rules].join('\n  ')];
  });
  return [
    rendered.links.map((link) => JSON.stringify(link)).join('\n'),
    [`neighbours: ${rendered.keeping}`, ...rendered.known.map((one) => JSON.stringify(one))].join('\n'),
    rendered.settings.map(([path, value]) => `${path} = ${value}`).join('\n'),
    ...chains,
  ]
    .filter((part) => part !== '')
    .join('\n\n');
};

const cases = goldenCases(new URL('../../handover/golden/', import.meta.url));

for (const golden of cases) {
  test(`handover: ${golden.name}`, (t) => {
    const found = problems(golden.document);
    assertGolden(t, golden, found === '' ? render(golden.document) : found);
  });
}

test('nft takes the steering, and lists it as we write it', (t) => {
  const netns = `svt${process.pid}hg`;
  t.teardown(() => spawnSync('ip', ['netns', 'del', netns]));
  spawnSync('ip', ['netns', 'add', netns]);
  const nft = (input: string, ...args: string[]) =>
    spawnSync('ip', ['netns', 'exec', netns, '/usr/sbin/nft', ...args], { encoding: 'utf8', input });
  for (const device of ['old0', 'old1', 'new0', 'new1']) {
    spawnSync('ip', ['-n', netns, 'link', 'add', device, 'type', 'veth', 'peer', 'name', `x${device}`]);
  }
  for (const { document } of cases) {
    if (problems(document) !== '') continue;
    const rendered = renderHandover(document);
    const present = new Set(rendered.links.map(({ device }) => device));
    for (const family of ['ip', 'ip6'] as const) {
      const chain = steeringChain(rendered, family, present);
      if (chain === null) continue;
      const body = [`\t\t${chain.hook}`, ...chain.rules.map((rule) => `\t\t${rule}`)].join('\n');
      const table = `table ${family} selvage_handover {\n\tchain prerouting {\n${body}\n\t}\n}`;
      t.is(nft(`flush ruleset\n${table}\n`, '-f', '-').stderr, '');
      t.is(nft('', '-y', 'list', 'ruleset').stdout.trim(), table);
    }
  }
});

test('a way whose device is missing is no way, and the hand-over is whole or not at all', (t) => {
  const named = (name: string): RouterDocument =>
    cases.find((golden) => golden.name === name)?.document as RouterDocument;
  const draining = renderHandover(named('draining'));
  t.is(steeringChain(draining, 'ip', new Set(['new0'])), null);
  const successor = renderHandover(named('successor'));
  const rules =
    steeringChain(successor, 'ip', new Set(['old1']))?.rules.filter((rule) =>
      /^iifname "[^"]+" dup /.test(rule),
    ) ?? [];
  t.is(rules.length, 1);
  t.regex(rules[0] ?? '', /^iifname "public0" /);
  t.is(steeringChain(successor, 'ip', new Set()), null);
  // The older one is gone: everything goes up.
  const middle = renderHandover(named('middle'));
  t.deepEqual(
    steeringChain(middle, 'ip', new Set(['new0', 'new1']))?.rules.filter((rule) =>
      /^iifname "[^"]+" dup /.test(rule),
    ),
    [
      'iifname "guest0" dup to 169.254.77.5 device "new0" drop',
      'iifname "new0" dup to 169.254.77.5 device "new0" drop',
      'iifname "public0" dup to 169.254.77.7 device "new1" drop',
      'iifname "new1" dup to 169.254.77.7 device "new1" drop',
    ],
  );
});
