import test from 'ava';
import {
  classifyIp,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isPrivate,
  isReserved,
  isUnspecified,
  parseIp,
  parsePrefix,
  prefixTouchesReserved,
} from 'ip';

test('the first and last address of each special range, and its neighbours', (t) => {
  for (const [text, expected] of [
    ['0.0.0.0', 'unspecified'],
    ['0.255.255.255', 'reserved'],
    ['1.0.0.0', 'global'],
    ['10.0.0.0', 'private'],
    ['10.255.255.255', 'private'],
    ['11.0.0.0', 'global'],
    ['100.64.0.0', 'shared'],
    ['100.127.255.255', 'shared'],
    ['100.128.0.0', 'global'],
    ['127.0.0.1', 'loopback'],
    ['169.254.169.254', 'link-local'],
    ['172.16.0.0', 'private'],
    ['172.31.255.255', 'private'],
    ['172.32.0.0', 'global'],
    ['192.0.0.8', 'reserved'],
    ['192.0.2.1', 'documentation'],
    ['192.168.255.255', 'private'],
    ['198.18.0.0', 'benchmarking'],
    ['198.20.0.0', 'global'],
    ['203.0.113.255', 'documentation'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.255', 'multicast'],
    ['240.0.0.0', 'reserved'],
    ['255.255.255.254', 'reserved'],
    ['255.255.255.255', 'broadcast'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['::ffff:10.0.0.1', 'ipv4-mapped'],
    ['100::1', 'reserved'],
    ['2001:db8::1', 'documentation'],
    ['2606:4700::1', 'global'],
    ['fc00::1', 'private'],
    ['fdff::1', 'private'],
    ['fe80::1', 'link-local'],
    ['febf::1', 'link-local'],
    ['fec0::1', 'global'],
    ['ff02::1', 'multicast'],
  ] as const) {
    t.is(classifyIp(parseIp(text)!), expected, text);
  }
});

test('the predicates', (t) => {
  t.true(isLoopback(parseIp('127.1.2.3')!));
  t.true(isMulticast(parseIp('ff02::1')!));
  t.true(isLinkLocal(parseIp('fe80::1')!));
  t.true(isUnspecified(parseIp('::')!));
  t.true(isPrivate(parseIp('fd00::1')!));
  t.false(isPrivate(parseIp('100.64.0.1')!));
  t.true(isReserved(parseIp('240.0.0.1')!));
  t.false(isReserved(parseIp('203.0.113.1')!));
});

test('a prefix that reaches into reserved addresses', (t) => {
  for (const text of [
    '0.0.0.0/0',
    '126.0.0.0/7',
    '127.0.0.0/24',
    '224.0.0.0/24',
    '255.255.255.0/24',
    '::/64',
    'ff02::/16',
    'fe00::/7',
  ]) {
    t.true(prefixTouchesReserved(parsePrefix(text)!), text);
  }
  for (const text of ['10.0.0.0/8', '203.0.113.0/24', '169.254.0.0/16', 'fd00::/8', '2001:db8::/32']) {
    t.false(prefixTouchesReserved(parsePrefix(text)!), text);
  }
});
