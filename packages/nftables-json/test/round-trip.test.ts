import { readFileSync } from 'node:fs';
import test from 'ava';
import fc from 'fast-check';
import {
  addCommands,
  type Expression,
  type NftObject,
  normalise,
  parseRuleset,
  renderText,
} from '../src/index.ts';
import { parseText } from '../src/text/parse-text.ts';
import { kernel } from './support/namespace.ts';
import { ruleset } from './support/objects.ts';

test('what is rendered and read back as text equals what went in', (t) => {
  fc.assert(
    fc.property(ruleset, (objects) => {
      const commands = addCommands(objects);
      t.deepEqual(
        parseText(renderText(commands)).map(({ command }) => command),
        commands,
      );
    }),
    { numRuns: 300 },
  );
});

test('what is rendered, loaded, listed and parsed equals what went in', async (t) => {
  const nft = kernel(t.teardown);
  await fc.assert(
    fc.asyncProperty(ruleset, async (objects) => {
      const text = renderText(addCommands(objects));
      await nft.apply(`flush ruleset\n${text}`);
      const complete = { complete: true };
      t.deepEqual(normalise(await nft.list({}, complete), complete), normalise(objects, complete), text);
      t.deepEqual(normalise(await nft.list()), normalise(objects), text);
    }),
    { numRuns: 300 },
  );
});

test('every form of the reference ruleset comes back from the kernel as it was listed', async (t) => {
  const nft = kernel(t.teardown);
  await nft.apply(readFileSync(new URL('golden/reference.nft', import.meta.url), 'utf8'));
  const listed = await nft.list();
  t.true(listed.length > 150);
  const text = renderText(addCommands(listed));
  await nft.apply(`flush ruleset\n${text}`);
  t.deepEqual(normalise(await nft.list()), normalise(listed));
  const read = parseText(text).map(({ command }) => ('add' in command ? command.add : undefined));
  t.deepEqual(normalise(read.filter((object) => object !== undefined)), normalise(listed));
});

test('ICMP types and codes, and protocols, by number or name, alone and in ranges', async (t) => {
  const nft = kernel(t.teardown);
  const place = { family: 'inet', table: 'vr' } as const;
  const icmp = (field: string): Expression => ({ payload: { protocol: 'icmp', field } });
  const all: Expression = { range: [0, 255] };
  const any: Expression = { prefix: { addr: '0.0.0.0', len: 0 } };
  const rule = (left: Expression, right: Expression): NftObject => ({
    rule: { ...place, chain: 'main', expr: [{ match: { op: '==', left, right } }, { accept: null }] },
  });
  const wanted: NftObject[] = [
    { table: { family: 'inet', name: 'vr' } },
    { chain: { ...place, name: 'main' } },
    {
      set: {
        ...place,
        name: 'fw_icmp',
        type: ['ipv4_addr', 'icmp_type', 'icmp_code', 'ipv4_addr'],
        flags: ['interval'],
        elem: [
          { concat: ['192.0.2.1', all, all, any] },
          { concat: ['192.0.2.2', 8, all, any] },
          { concat: ['192.0.2.3', 'echo-request', 0, any] },
          { concat: ['192.0.2.4', { range: [3, 5] }, { range: [0, 2] }, any] },
        ],
      },
    },
    {
      set: {
        ...place,
        name: 'icmp6',
        type: ['icmpv6_type', 'icmpv6_code'],
        elem: [{ concat: [128, 0] }, { concat: [1, 'no-route'] }, { concat: [200, 9] }],
      },
    },
    { set: { ...place, name: 'protos', type: 'inet_proto', elem: [6, 'udp', 'icmpv6', 47, 200] } },
    rule(
      {
        concat: [
          { payload: { protocol: 'ip', field: 'daddr' } },
          icmp('type'),
          icmp('code'),
          { payload: { protocol: 'ip', field: 'saddr' } },
        ],
      },
      '@fw_icmp',
    ),
    rule(icmp('type'), { range: [0, 8] }),
    rule(icmp('code'), 0),
    rule(icmp('type'), { set: [0, 'echo-request', 200] }),
    rule({ meta: { key: 'l4proto' } }, 47),
    rule({ meta: { key: 'l4proto' } }, { set: ['tcp', 17, 58] }),
  ];
  await nft.apply(renderText(addCommands(wanted)));
  const listed = await nft.list();
  t.deepEqual(normalise(listed), normalise(wanted));
  for (const again of [listed, normalise(wanted)]) {
    await nft.apply(`flush ruleset\n${renderText(addCommands(again))}`);
    t.deepEqual(normalise(await nft.list()), normalise(wanted));
  }
});

test('a complete listing has what the JSON of 1.0.6 leaves out', async (t) => {
  const nft = kernel(t.teardown);
  const wanted: NftObject[] = [
    { table: { family: 'netdev', name: 'dev', comment: 'table "quoted" no more'.replaceAll('"', "'") } },
    {
      chain: {
        family: 'netdev',
        table: 'dev',
        name: 'in1',
        type: 'filter',
        hook: 'ingress',
        prio: 5,
        policy: 'drop',
        dev: 'lo',
        comment: 'chain',
      },
    },
    {
      set: {
        family: 'netdev',
        table: 'dev',
        name: 'seen',
        type: 'ipv4_addr',
        size: 10,
        flags: ['dynamic', 'timeout'],
        comment: 'set',
      },
    },
    {
      set: {
        family: 'netdev',
        table: 'dev',
        name: 'wide',
        type: 'ipv4_addr',
        flags: ['interval'],
        'auto-merge': true,
      },
    },
  ];
  await nft.apply(renderText(addCommands(wanted)));
  const listed = await nft.list({}, { complete: true });
  t.deepEqual(normalise(listed, { complete: true }), normalise(wanted, { complete: true }));
  t.notDeepEqual(normalise(await nft.list(), { complete: true }), normalise(wanted, { complete: true }));
  t.deepEqual(normalise(await nft.list()), normalise(wanted));
  await nft.apply(`flush ruleset\n${renderText(addCommands(listed))}`);
  t.deepEqual(await nft.list({}, { complete: true }), listed);
});

test('normalise: applying it twice changes nothing, and it loads', async (t) => {
  const nft = kernel(t.teardown);
  await fc.assert(
    fc.asyncProperty(ruleset, async (objects) => {
      const once = normalise(objects);
      t.deepEqual(normalise(once), once);
      await nft.check(renderText(addCommands(once)));
    }),
    { numRuns: 50 },
  );
});

test('parseRuleset leaves out what it does not know, and handles unless asked', (t) => {
  const json = {
    nftables: [
      { metainfo: { version: '1.0.6' } },
      { table: { family: 'ip', name: 'a', handle: 3 } },
      { flowtable: { family: 'ip', table: 'a', name: 'f' } },
      {
        map: {
          family: 'ip',
          table: 'a',
          name: 'm',
          type: 'mark',
          map: 'ipv4_addr . inet_service',
          flags: 'interval',
        },
      },
    ],
  };
  const map = {
    map: {
      family: 'ip',
      table: 'a',
      name: 'm',
      type: 'mark',
      map: ['ipv4_addr', 'inet_service'],
      flags: ['interval'],
    },
  };
  t.deepEqual(parseRuleset(json) as unknown, [{ table: { family: 'ip', name: 'a' } }, map]);
  t.deepEqual(parseRuleset(JSON.stringify(json), { handles: true })[0], {
    table: { family: 'ip', name: 'a', handle: 3 },
  });
  t.throws(() => parseRuleset('{'), { code: 'not-a-ruleset' });
  t.throws(() => parseRuleset({}), { code: 'not-a-ruleset' });
});
