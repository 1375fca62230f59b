import test from 'ava';
import fc from 'fast-check';
import {
  encodeRelease,
  type Lease,
  parseLeases,
  parseServerDuid,
  renderLeases,
  staleLeases,
  withoutLeases,
} from 'dnsmasq-config';
import { ipv4FromNumber, ipv6FromBigInt, macFromNumber, parseIpv4, parseMac } from 'ip';

// As dnsmasq 2.90 wrote it.
const FILE = `0 02:00:00:00:00:01 10.1.2.1 new1 01:02:00:00:00:00:01
1795000000 02:00:00:00:00:02 10.1.2.2 * *
duid 00:01:00:01:2e:aa:bb:cc:02:00:00:00:00:99
1795000000 7654321 2001:db8::5 web 00:03:00:01:02:00:00:00:00:05
1795000000 T12 2001:db8::6 * 00:03:00:01:02:00:00:00:00:06
`;

test('a lease file of both families, there and back', (t) => {
  const leases = parseLeases(FILE);
  t.deepEqual(leases[0] as object, {
    family: 4,
    expiresAt: null,
    mac: '02:00:00:00:00:01',
    address: '10.1.2.1',
    hostname: 'new1',
    clientId: '01:02:00:00:00:00:01',
  });
  t.deepEqual(leases[3] as object, {
    family: 6,
    expiresAt: 1795000000,
    iaid: 12,
    temporary: true,
    address: '2001:db8::6',
    hostname: null,
    duid: '00:03:00:01:02:00:00:00:00:06',
  });
  t.is(parseServerDuid(FILE), '00:01:00:01:2e:aa:bb:cc:02:00:00:00:00:99');
  t.is(renderLeases(leases, parseServerDuid(FILE)), FILE);
  t.deepEqual(parseLeases('garbage\n1 2 3\n\n0 02:00:00:00:00:01 10.1.2 x *\n'), []);
  t.is(parseServerDuid('duid nonsense\n'), null);
  t.is(withoutLeases(leases, new Set(['10.1.2.1', '2001:db8::5'])).length, 2);
});

test('any leases survive the round trip', (t) => {
  const expiresAt = fc.option(fc.integer({ min: 1, max: 2 ** 32 }));
  const hostname = fc.option(fc.stringMatching(/^[a-z][a-z0-9.-]{0,20}$/));
  const octets = fc
    .array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 20 })
    .map((list) => list.map((octet) => octet.toString(16).padStart(2, '0')).join(':'));
  const lease4 = fc.record({
    family: fc.constant(4 as const),
    expiresAt,
    mac: fc.integer({ min: 1, max: 2 ** 48 - 1 }).map(macFromNumber),
    address: fc.integer({ min: 0, max: 0xffffffff }).map(ipv4FromNumber),
    hostname,
    clientId: fc.option(octets),
  });
  const lease6 = fc.record({
    family: fc.constant(6 as const),
    expiresAt,
    iaid: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    temporary: fc.boolean(),
    address: fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map(ipv6FromBigInt),
    hostname,
    duid: octets,
  });
  fc.assert(
    fc.property(fc.array(lease4), fc.array(lease6), fc.option(octets), (four, six, duid) => {
      const leases: Lease[] = [...four, ...six];
      const text = renderLeases(leases, duid);
      t.deepEqual(parseLeases(text), leases);
      return parseServerDuid(text) === duid;
    }),
  );
});

test('leases that stand against the reservations', (t) => {
  const leases = parseLeases(FILE);
  const mac = parseMac('02:00:00:00:00:01')!;
  t.deepEqual(
    staleLeases(leases, [{ mac, addresses: [parseIpv4('10.1.2.1')!] }]).map(
      ({ address }) => address as string,
    ),
    ['10.1.2.2'],
  );
  t.is(staleLeases(leases, [{ mac, addresses: [parseIpv4('10.1.2.9')!] }]).length, 2);
});

test('golden: the octets of a DHCPRELEASE', (t) => {
  const message = encodeRelease({
    clientMac: parseMac('02:a1:b2:c3:d4:e5')!,
    address: parseIpv4('10.1.1.10')!,
    server: parseIpv4('10.1.1.1')!,
  });
  const hex = Buffer.from(message).toString('hex');
  t.is(message.length, 300);
  t.is(hex.slice(0, 8), '01010600');
  t.is(hex.slice(24, 32), '0a01010a', 'ciaddr');
  t.is(hex.slice(56, 68), '02a1b2c3d4e5', 'chaddr');
  t.is(hex.slice(472, 508), '63825363350107' + '3604' + '0a010101' + 'ff' + '00000000');
  t.throws(
    () =>
      encodeRelease({
        clientMac: parseMac('ff:ff:ff:ff:ff:ff')!,
        address: parseIpv4('10.1.1.10')!,
        server: parseIpv4('10.1.1.1')!,
      }),
    { code: 'DNSMASQ_BAD_RELEASE' },
  );
});
