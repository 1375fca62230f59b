import test from 'ava';
import fc from 'fast-check';
import { Address4, Address6 } from 'ip-address';
import {
  addressOfPrefix,
  type IpError,
  type IpAddress,
  ipFromBigInt,
  ipv4FromNumber,
  isCanonicalPrefix,
  netmask,
  networkOf,
  parseIp,
  parseIpv4Prefix,
  parseIpv6Prefix,
  parsePrefix,
  type Prefix,
  prefixBlock,
  prefixContains,
  prefixesOverlap,
  prefixLength,
  prefixOf,
  prefixRange,
} from 'ip';

const prefix = (text: string): Prefix => parsePrefix(text, { hostBits: 'allow' })!;

const anyPrefix: fc.Arbitrary<Prefix> = fc.oneof(
  fc
    .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 32 }))
    .map(([value, length]) => prefix(`${ipv4FromNumber(value)}/${length}`)),
  // Few distinct high bits, so that containment happens.
  fc
    .tuple(
      fc.bigInt({ min: 0n, max: 3n }),
      fc.bigInt({ min: 0n, max: 255n }),
      fc.integer({ min: 0, max: 128 }),
    )
    .map(([high, low, length]) => prefix(`${ipFromBigInt((high << 126n) | low, 6)}/${length}`)),
);

const oracle = (text: string): Address4 | Address6 =>
  text.includes(':') ? new Address6(text) : new Address4(text);

test('host bits are refused, allowed or cleared, as asked', (t) => {
  t.is(parsePrefix('10.1.1.1/24'), null);
  t.is(parsePrefix('10.1.1.1/24', { hostBits: 'allow' }) as string, '10.1.1.1/24');
  t.is(parsePrefix('10.1.1.1/24', { hostBits: 'clear' }) as string, '10.1.1.0/24');
  t.is(parsePrefix('2001:DB8:0::1/64', { hostBits: 'clear' }) as string, '2001:db8::/64');
  t.is(parsePrefix('0.0.0.0/0') as string, '0.0.0.0/0');
  t.is(parseIpv4Prefix('2001:db8::/64'), null);
  t.is(parseIpv6Prefix('10.0.0.0/8'), null);
  t.true(isCanonicalPrefix('2001:db8::/64'));
  t.false(isCanonicalPrefix('2001:DB8::/64'));
});

test('refuses what is not address/length', (t) => {
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/',
    '/24',
    '10.0.0.0/33',
    '10.0.0.0/024',
    '10.0.0.0/-1',
    '10.0.0.0/+8',
    '10.0.0.0/8 ',
    '10.0.0.0/8/8',
    '10.0.0.0/255.0.0.0',
    '10.0.0.0/8.0',
    '10.0.0.0/1e1',
    '010.0.0.0/8',
    '10/8',
    '::/129',
    'fe80::%eth0/64',
    '10.0.0.0/8\n',
  ]) {
    for (const hostBits of ['refuse', 'allow', 'clear'] as const) {
      t.is(parsePrefix(text, { hostBits }), null, JSON.stringify(text));
    }
  }
});

test('the range hosts can have', (t) => {
  t.deepEqual(prefixRange(prefix('10.1.1.1/24')) as object, {
    first: '10.1.1.1',
    last: '10.1.1.254',
    length: 24,
    network: '10.1.1.0',
    broadcast: '10.1.1.255',
  });
  t.deepEqual(prefixRange(prefix('10.1.1.0/31')) as object, {
    first: '10.1.1.0',
    last: '10.1.1.1',
    length: 31,
    network: '10.1.1.0',
    broadcast: null,
  });
  t.deepEqual(prefixRange(prefix('10.1.1.7/32')) as object, {
    first: '10.1.1.7',
    last: '10.1.1.7',
    length: 32,
    network: '10.1.1.7',
    broadcast: null,
  });
  t.deepEqual(prefixRange(prefix('2001:db8::/64')) as object, {
    first: '2001:db8::1',
    last: '2001:db8::ffff:ffff:ffff:ffff',
    length: 64,
    network: '2001:db8::',
    broadcast: null,
  });
  t.deepEqual(prefixBlock(prefix('10.1.1.1/24')) as object, { first: '10.1.1.0', last: '10.1.1.255' });
});

test('parts of an interface address', (t) => {
  t.is(addressOfPrefix(prefix('10.1.1.1/24')) as string, '10.1.1.1');
  t.is(networkOf(prefix('10.1.1.1/24')) as string, '10.1.1.0/24');
  t.is(netmask(prefix('10.1.1.1/22')) as string, '255.255.252.0');
  t.is(netmask(prefix('10.1.1.1/0')) as string, '0.0.0.0');
  t.is(netmask(prefix('2001:db8::/64')) as string, 'ffff:ffff:ffff:ffff::');
  t.is(prefixLength(prefix('10.1.1.1/22')), 22);
  t.is(prefixOf(parseIp('10.1.1.1')!, 24) as string, '10.1.1.1/24');
  t.is(t.throws<IpError>(() => prefixOf(parseIp('10.1.1.1')!, 33))?.code, 'IP_PREFIX_LENGTH');
  t.is(t.throws<IpError>(() => networkOf('10.1.1.1' as Prefix))?.code, 'IP_NOT_CANONICAL');
});

test('containment and overlap', (t) => {
  t.true(prefixContains(prefix('10.0.0.0/8'), parseIp('10.255.255.255')!));
  t.false(prefixContains(prefix('10.0.0.0/8'), parseIp('11.0.0.0')!));
  t.true(prefixContains(prefix('10.0.0.0/8'), prefix('10.1.0.0/16')));
  t.false(prefixContains(prefix('10.1.0.0/16'), prefix('10.0.0.0/8')));
  t.true(prefixesOverlap(prefix('10.1.0.0/16'), prefix('10.0.0.0/8')));
  t.false(prefixesOverlap(prefix('10.1.0.0/16'), prefix('10.2.0.0/16')));
  t.false(prefixContains(prefix('::/0'), parseIp('10.0.0.1')!), 'families are apart');
  t.false(prefixesOverlap(prefix('::/0'), prefix('0.0.0.0/0')));
});

test('agrees with the oracle', (t) => {
  fc.assert(
    fc.property(anyPrefix, (value) => {
      const expected = oracle(value);
      const block = prefixBlock(value);
      return (
        block.first === expected.startAddress().correctForm() &&
        block.last === expected.endAddress().correctForm() &&
        prefixLength(value) === expected.subnetMask &&
        parsePrefix(networkOf(value)) === networkOf(value) &&
        prefixContains(value, addressOfPrefix(value) as IpAddress)
      );
    }),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(anyPrefix, anyPrefix, (outer, inner) => {
      const sameFamily = outer.includes(':') === inner.includes(':');
      // The oracle is told the network: it compares the bits of the subnet it is given.
      const expected = sameFamily && oracle(networkOf(inner)).isInSubnet(oracle(networkOf(outer)) as never);
      return (
        prefixContains(outer, inner) === expected &&
        prefixesOverlap(outer, inner) === prefixesOverlap(inner, outer) &&
        (!expected || prefixesOverlap(outer, inner))
      );
    }),
    { numRuns: 1000 },
  );
  t.pass();
});
