/** Arbitrary rulesets in the form in which nft lists them. */
import fc from 'fast-check';
import {
  commentText,
  type Expression,
  type NftMap,
  type NftObject,
  type NftSet,
  type Rule,
  type SetItem,
  type Statement,
} from '../../src/index.ts';

const byte = fc.integer({ min: 0, max: 255 });
export const ipv4 = fc
  .tuple(fc.integer({ min: 1, max: 223 }), byte, byte, byte)
  .map((parts) => parts.join('.'));
const group = fc.integer({ min: 1, max: 0xffff }).map((value) => value.toString(16));
const ipv6 = fc.tuple(group, group, group).map(([a, b, c]) => `fd00:${a}:${b}::${c}`);
const mac = fc
  .tuple(byte, byte, byte, byte, byte)
  .map((parts) => ['02', ...parts.map((part) => part.toString(16).padStart(2, '0'))].join(':'));
const port = fc.integer({ min: 1, max: 65535 });
const mark = fc.integer({ min: 0, max: 0xffffffff });
const proto = fc.constantFrom('tcp', 'udp', 'icmp', 'ipv6-icmp', 'esp', 'sctp');
const ifname = fc.oneof(
  fc.constantFrom('lo', 'eth0', 'p0', 'vlan', 'br-x.5', 'mark', 'a@b', 'set'),
  // What is a protocol first cannot be told from an interface of that name in an element (words.ts).
  fc.stringMatching(/^[a-z][a-z0-9._-]{0,13}$/).filter((name) => !/^(?:tcp|udp|icmp|icmpv6)$/.test(name)),
);
const comment = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
  .map(commentText)
  .filter((text) => text !== '');

const values: Record<string, fc.Arbitrary<Expression>> = {
  ipv4_addr: ipv4,
  ipv6_addr: ipv6,
  ether_addr: mac,
  inet_proto: proto,
  inet_service: port,
  mark,
  ifname,
};
const dataTypes = Object.keys(values);

function prefixed(address: string, len: number): Expression {
  if (len === 32) return address;
  const bits = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const base = bits - (bits % 2 ** (32 - len));
  return {
    prefix: { addr: [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join('.'), len },
  };
}

const prefix = fc
  .tuple(ipv4, fc.integer({ min: 1, max: 32 }))
  .map(([address, len]) => prefixed(address, len));
const portRange = fc
  .tuple(fc.integer({ min: 1, max: 30000 }), fc.integer({ min: 1, max: 30000 }))
  .map(([from, more]): Expression => ({ range: [from, from + more] }));

const types = fc.oneof(
  fc.constantFrom(...dataTypes),
  fc.uniqueArray(fc.constantFrom(...dataTypes), { minLength: 2, maxLength: 4 }),
);

function keyOf(type: string | readonly string[]): fc.Arbitrary<Expression> {
  if (typeof type === 'string') return values[type] as fc.Arbitrary<Expression>;
  return fc
    .tuple(...type.map((each) => values[each] as fc.Arbitrary<Expression>))
    .map((concat): Expression => ({ concat }));
}

const place = { family: 'inet', table: 'vr' } as const;

type Extras = { readonly counts: boolean; readonly times: boolean };

function keys(type: string | readonly string[], extras: Extras): fc.Arbitrary<SetItem[]> {
  const item = fc.tuple(keyOf(type), fc.option(comment), fc.option(fc.integer({ min: 1000, max: 100000 })));
  return fc.uniqueArray(item, { maxLength: 8, selector: ([key]) => JSON.stringify(key) }).map((items) =>
    items.map(([val, note, timeout]) => {
      const body = {
        ...(note === null ? {} : { comment: note }),
        ...(extras.times && timeout !== null ? { timeout } : {}),
        ...(extras.counts ? { counter: null } : {}),
      };
      return Object.keys(body).length === 0 ? val : { elem: { val, ...body } };
    }),
  );
}

const set: fc.Arbitrary<NftSet> = fc
  .record({
    type: types,
    counts: fc.boolean(),
    times: fc.boolean(),
    size: fc.option(fc.integer({ min: 100, max: 100000 })),
    comment: fc.option(comment),
  })
  .chain(({ type, counts, times, size, comment: note }) =>
    keys(type, { counts, times }).map((elem) => ({
      ...place,
      name: '',
      type: type as NftSet['type'],
      ...(times ? { flags: ['timeout'] as const, timeout: 3600 } : {}),
      ...(size === null ? {} : { size }),
      ...(note === null ? {} : { comment: note }),
      ...(counts ? { stmt: [{ counter: null }] } : {}),
      ...(elem.length === 0 ? {} : { elem }),
    })),
  );

/** Concatenated intervals (pipapo): the first column keeps them apart. */
const intervalSet: fc.Arbitrary<NftSet> = fc
  .uniqueArray(fc.tuple(ipv4, proto, portRange, prefix), { maxLength: 6, selector: ([address]) => address })
  .map((items) => ({
    ...place,
    name: '',
    type: ['ipv4_addr', 'inet_proto', 'inet_service', 'ipv4_addr'] as const,
    flags: ['interval'] as const,
    ...(items.length === 0 ? {} : { elem: items.map((concat) => ({ concat })) }),
  }));

const data = fc.oneof(
  fc.constant<readonly [NftMap['map'], fc.Arbitrary<Expression>]>(['ipv4_addr', ipv4]),
  fc.constant<readonly [NftMap['map'], fc.Arbitrary<Expression>]>(['mark', mark]),
  fc.constant<readonly [NftMap['map'], fc.Arbitrary<Expression>]>([
    ['ipv4_addr', 'inet_service'],
    fc.tuple(ipv4, port).map(([a, b]) => ({ concat: [a, b] })),
  ]),
  fc.constant<readonly [NftMap['map'], fc.Arbitrary<Expression>]>([
    'verdict',
    fc.constantFrom<Expression>(
      { accept: null },
      { drop: null },
      { return: null },
      { jump: { target: 'leaf' } },
      { goto: { target: 'leaf' } },
    ),
  ]),
);

const map: fc.Arbitrary<NftMap> = fc.tuple(types, data).chain(([type, [kind, value]]) =>
  keys(type, { counts: false, times: false }).chain((items) =>
    fc.tuple(...items.map(() => value)).map((chosen) => ({
      ...place,
      name: '',
      type: type as NftSet['type'],
      map: kind,
      ...(items.length === 0
        ? {}
        : { elem: items.map((item, at): SetItem => [item as Expression, chosen[at] as Expression]) }),
    })),
  ),
);

const payload = (protocol: string, field: string): Expression => ({ payload: { protocol, field } });
const meta = (key: string): Expression => ({ meta: { key } });
const equal = (left: Expression, right: Expression, op: '==' | '!=' = '=='): Statement => ({
  match: { op, left, right },
});
const operator = fc.constantFrom<'==' | '!='>('==', '!=');
const states = fc.uniqueArray(fc.constantFrom('established', 'related', 'new', 'invalid', 'untracked'), {
  minLength: 1,
});

const condition: fc.Arbitrary<Statement> = fc.oneof(
  fc
    .tuple(fc.constantFrom('saddr', 'daddr'), prefix, operator)
    .map(([field, right, op]) => equal(payload('ip', field), right, op)),
  fc.tuple(ipv6, operator).map(([right, op]) => equal(payload('ip6', 'saddr'), right, op)),
  fc
    .tuple(fc.constantFrom('tcp', 'udp', 'th'), fc.constantFrom('sport', 'dport'), fc.oneof(port, portRange))
    .map(([protocol, field, right]) => equal(payload(protocol, field), right)),
  fc
    .uniqueArray(port, { minLength: 2, maxLength: 5 })
    .filter(apart)
    .map((list) => equal(payload('tcp', 'dport'), { set: list })),
  fc
    .tuple(fc.constantFrom('iifname', 'oifname'), ifname, operator)
    .map(([key, right, op]) => equal(meta(key), right, op)),
  fc.uniqueArray(ifname, { minLength: 2, maxLength: 4 }).map((list) => equal(meta('iifname'), { set: list })),
  fc.tuple(mark, operator).map(([right, op]) => equal(meta('mark'), right, op)),
  fc
    .tuple(fc.integer({ min: 1, max: 0xfffffffe }), mark)
    .map(([mask, right]) => equal({ '&': [{ ct: { key: 'mark' } }, mask] }, (right & mask) >>> 0)),
  states.map(
    (list): Statement => ({
      match: {
        op: 'in',
        left: { ct: { key: 'state' } },
        right: list.length === 1 ? (list[0] as string) : list,
      },
    }),
  ),
  fc
    .tuple(fc.constantFrom('original', 'reply'), ipv4)
    .map(([dir, right]) => equal({ ct: { key: 'ip daddr', dir: dir as 'original' } }, right)),
  fc
    .constantFrom('echo-request', 'echo-reply', 'redirect', 'time-exceeded')
    .map((right) => equal(payload('icmp', 'type'), right)),
  fc.constant(equal({ fib: { result: 'type', flags: ['daddr'] } }, { set: ['broadcast', 'multicast'] })),
  fc.constant(equal({ fib: { result: 'oif', flags: ['saddr', 'iif'] } }, false)),
  mac.map((right) => equal(payload('ether', 'saddr'), right)),
);

// nft joins neighbouring numbers of a set into a range.
function apart(numbers: readonly number[]): boolean {
  return numbers.every((one) => numbers.every((other) => Math.abs(one - other) !== 1));
}

const action: fc.Arbitrary<Statement> = fc.oneof(
  fc.constant<Statement>({ counter: null }),
  fc
    .tuple(fc.integer({ min: 1, max: 1000 }), fc.constantFrom('second', 'minute', 'hour', 'day'))
    .map(([rate, per]): Statement => ({ limit: { rate, per: per as 'second' } })),
  fc.stringMatching(/^[a-zA-Z0-9 :._-]{1,40}$/).map((text): Statement => ({ log: { prefix: text } })),
  mark.map((value): Statement => ({ mangle: { key: meta('mark'), value } })),
  fc.constant<Statement>({ mangle: { key: { ct: { key: 'mark' } }, value: meta('mark') } }),
  fc.constant<Statement>({ mangle: { key: meta('mark'), value: { ct: { key: 'mark' } } } }),
);

const end = fc.constantFrom<Statement>(
  { accept: null },
  { drop: null },
  { return: null },
  { jump: { target: 'leaf' } },
  { goto: { target: 'leaf' } },
  { reject: { type: 'icmpx', expr: 'admin-prohibited' } },
);

// Two conditions could contradict or imply one another, which nft resolves in its own way.
const rule: fc.Arbitrary<Rule> = fc
  .tuple(condition, fc.array(action, { maxLength: 2 }), end, fc.option(comment))
  .map(([first, actions, last, note]) => ({
    ...place,
    chain: 'main',
    expr: [first, ...actions, last],
    ...(note === null ? {} : { comment: note }),
  }));

/** A table with chains, sets, maps and rules. */
export const ruleset: fc.Arbitrary<NftObject[]> = fc
  .record({
    sets: fc.array(fc.oneof(set, intervalSet), { maxLength: 3 }),
    maps: fc.array(map, { maxLength: 3 }),
    rules: fc.array(rule, { maxLength: 8 }),
    note: fc.option(comment),
  })
  .map(({ sets, maps, rules, note: remark }) => {
    const note = remark === null ? {} : { comment: remark };
    return [
      { table: { family: 'inet', name: 'vr', ...note } },
      { counter: { ...place, name: 'seen' } },
      { chain: { ...place, name: 'leaf', ...note } },
      { chain: { ...place, name: 'main', type: 'filter', hook: 'forward', prio: -5, policy: 'drop' } },
      ...sets.map((each, at): NftObject => ({ set: { ...each, name: `set_${at}` } })),
      ...maps.map((each, at): NftObject => ({ map: { ...each, name: `map_${at}` } })),
      ...rules.map((each): NftObject => ({ rule: each })),
    ];
  });
