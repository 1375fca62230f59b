import test from 'ava';
import fc from 'fast-check';
import {
  eui64,
  type IpError,
  isLocalMac,
  isUnicastMac,
  macFromNumber,
  macToNumber,
  parseIpv6Prefix,
  parseMac,
} from 'ip';

test('six octets with colons, lower case on return', (t) => {
  t.is(parseMac('02:AB:cd:00:01:ff') as string, '02:ab:cd:00:01:ff');
  for (const text of [
    '',
    '02-ab-cd-00-01-ff',
    '02abcd0001ff',
    '02ab.cd00.01ff',
    '2:ab:cd:0:1:ff',
    '02:ab:cd:00:01',
    '02:ab:cd:00:01:ff:00',
    '02:ab:cd:00:01:fg',
    ' 02:ab:cd:00:01:ff',
    '02:ab:cd:00:01:ff\n',
  ]) {
    t.is(parseMac(text), null, JSON.stringify(text));
  }
});

test('unicast and local bits', (t) => {
  t.true(isUnicastMac(parseMac('02:00:00:00:00:01')!));
  t.true(isUnicastMac(parseMac('00:16:3e:00:00:01')!));
  t.false(isUnicastMac(parseMac('01:00:5e:00:00:01')!));
  t.false(isUnicastMac(parseMac('ff:ff:ff:ff:ff:ff')!));
  t.false(isUnicastMac(parseMac('00:00:00:00:00:00')!));
  t.true(isLocalMac(parseMac('02:00:00:00:00:01')!));
  t.false(isLocalMac(parseMac('00:16:3e:00:00:01')!));
});

test('numbers there and back', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff_ffff }), (value) => {
      const mac = macFromNumber(value);
      return macToNumber(mac) === value && parseMac(mac) === mac;
    }),
  );
  t.is(t.throws<IpError>(() => macFromNumber(2 ** 48))?.code, 'IP_OUT_OF_RANGE');
});

test('modified EUI-64: the example of RFC 4291, appendix A, and its limits', (t) => {
  const mac = parseMac('34:56:78:9a:bc:de')!;
  t.is(eui64(parseIpv6Prefix('fe80::/64')!, mac) as string, 'fe80::3656:78ff:fe9a:bcde');
  const onLink = parseIpv6Prefix('2001:db8:1:2::1/64', { hostBits: 'allow' })!;
  t.is(eui64(onLink, mac) as string, '2001:db8:1:2:3656:78ff:fe9a:bcde');
  t.is(t.throws<IpError>(() => eui64(parseIpv6Prefix('2001:db8::/48')!, mac))?.code, 'IP_PREFIX_LENGTH');
});
