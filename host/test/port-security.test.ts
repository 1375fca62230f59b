import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { guest, hostDocument, macOf, segment } from './fixtures/documents.ts';
import {
  arp,
  broadcast,
  ethernet,
  icmp,
  ipv4Packet,
  ipv6Packet,
  neighbour,
  tagged,
  udp,
} from './fixtures/frames.ts';
import { openRawSocket } from './fixtures/raw-socket.ts';
import { Rig } from './fixtures/rig.ts';

const own = { mac: macOf(11), ip: '10.1.1.11', ip6: 'fe80::ff:fe00:b' };
const victim = { mac: macOf(12), ip: '10.1.1.12', ip6: 'fe80::ff:fe00:c' };
const gateway = { mac: macOf(1), ip: '10.1.1.1', ip6: 'fe80::ff:fe00:1' };
const allNodes = 'ff02::1';
const allNodesMac = '33:33:00:00:00:01';

type Make = (marker: Buffer) => Buffer;

const inIpv4 =
  (from: string, payload: (marker: Buffer) => Buffer, to = victim.ip, protocol = 17): Make =>
  (marker) =>
    ethernet(own.mac, victim.mac, 0x0800, ipv4Packet(from, to, protocol, payload(marker)));
const inIpv6 =
  (from: string, payload: (marker: Buffer) => Buffer, next = 58): Make =>
  (marker) =>
    ethernet(own.mac, allNodesMac, 0x86dd, ipv6Packet(from, allNodes, next, payload(marker)));

/** What a guest must be able to send. */
const allowed: Readonly<Record<string, Make>> = {
  'IPv4 from its own address': inIpv4(own.ip, (marker) => udp(1000, 2000, marker)),
  'IPv4 to everybody': (marker) =>
    ethernet(own.mac, broadcast, 0x0800, ipv4Packet(own.ip, '255.255.255.255', 17, udp(1000, 2000, marker))),
  'ARP request of its own': (marker) =>
    ethernet(
      own.mac,
      broadcast,
      0x0806,
      arp({ operation: 1, senderMac: own.mac, sender: own.ip, target: victim.ip }, marker),
    ),
  'ARP reply of its own': (marker) =>
    ethernet(
      own.mac,
      victim.mac,
      0x0806,
      arp({ operation: 2, senderMac: own.mac, sender: own.ip, target: victim.ip }, marker),
    ),
  'ARP probe': (marker) =>
    ethernet(
      own.mac,
      broadcast,
      0x0806,
      arp({ operation: 1, senderMac: own.mac, sender: '0.0.0.0', target: own.ip }, marker),
    ),
  'DHCP request without an address': (marker) =>
    ethernet(own.mac, broadcast, 0x0800, ipv4Packet('0.0.0.0', '255.255.255.255', 17, udp(68, 67, marker))),
  'DHCP renewal from its address': inIpv4(own.ip, (marker) => udp(68, 67, marker)),
  'IPv6 from its link-local address': inIpv6(own.ip6, (marker) => udp(1000, 2000, marker), 17),
  'neighbour advertisement of its own': inIpv6(own.ip6, (marker) => neighbour(136, own.ip6, marker)),
  'neighbour solicitation without an address': inIpv6('::', (marker) => neighbour(135, own.ip6, marker)),
  'router solicitation': inIpv6(own.ip6, (marker) => icmp(133, Buffer.concat([Buffer.alloc(4), marker]))),
};

/** What a hostile guest tries. */
const forbidden: Readonly<Record<string, Make>> = {
  'another source MAC': (marker) =>
    ethernet(gateway.mac, victim.mac, 0x0800, ipv4Packet(own.ip, victim.ip, 17, udp(1000, 2000, marker))),
  'another source IPv4 address': inIpv4(gateway.ip, (marker) => udp(1000, 2000, marker)),
  'another MAC and its IPv4 address': (marker) =>
    ethernet(gateway.mac, victim.mac, 0x0800, ipv4Packet(gateway.ip, victim.ip, 17, udp(1000, 2000, marker))),
  'IPv4 without an address that is not DHCP': (marker) =>
    ethernet(own.mac, broadcast, 0x0800, ipv4Packet('0.0.0.0', '255.255.255.255', 17, udp(68, 69, marker))),
  'ARP reply for the gateway': (marker) =>
    ethernet(
      own.mac,
      victim.mac,
      0x0806,
      arp({ operation: 2, senderMac: own.mac, sender: gateway.ip, target: victim.ip }, marker),
    ),
  'gratuitous ARP for the gateway': (marker) =>
    ethernet(
      own.mac,
      broadcast,
      0x0806,
      arp({ operation: 1, senderMac: own.mac, sender: gateway.ip, target: gateway.ip }, marker),
    ),
  "ARP with another sender's MAC inside": (marker) =>
    ethernet(
      own.mac,
      victim.mac,
      0x0806,
      arp({ operation: 2, senderMac: gateway.mac, sender: own.ip, target: victim.ip }, marker),
    ),
  "ARP probe with another sender's MAC inside": (marker) =>
    ethernet(
      own.mac,
      broadcast,
      0x0806,
      arp({ operation: 1, senderMac: gateway.mac, sender: '0.0.0.0', target: own.ip }, marker),
    ),
  'ARP reply without sender address': (marker) =>
    ethernet(
      own.mac,
      victim.mac,
      0x0806,
      arp({ operation: 2, senderMac: own.mac, sender: '0.0.0.0', target: victim.ip }, marker),
    ),
  'DHCP offer': inIpv4(own.ip, (marker) => udp(67, 68, marker)),
  'DHCPv6 advertisement': inIpv6(own.ip6, (marker) => udp(547, 546, marker), 17),
  'ICMP redirect': inIpv4(
    own.ip,
    (marker) => icmp(5, Buffer.concat([Buffer.alloc(4), marker])),
    victim.ip,
    1,
  ),
  'ICMP router advertisement': inIpv4(
    own.ip,
    (marker) => icmp(9, Buffer.concat([Buffer.alloc(4), marker])),
    victim.ip,
    1,
  ),
  'IPv6 router advertisement': inIpv6(own.ip6, (marker) =>
    icmp(134, Buffer.concat([Buffer.alloc(12), marker])),
  ),
  'IPv6 router advertisement behind an extension header': inIpv6(
    own.ip6,
    // Destination options with padding (RFC 8200, 4.6), then ICMPv6.
    (marker) =>
      Buffer.concat([
        Buffer.from([58, 0, 1, 4, 0, 0, 0, 0]),
        icmp(134, Buffer.concat([Buffer.alloc(12), marker])),
      ]),
    60,
  ),
  'IPv6 redirect': inIpv6(own.ip6, (marker) => icmp(137, Buffer.concat([Buffer.alloc(36), marker]))),
  'another IPv6 address': inIpv6(gateway.ip6, (marker) => udp(1000, 2000, marker), 17),
  'neighbour advertisement for the gateway': inIpv6(own.ip6, (marker) => neighbour(136, gateway.ip6, marker)),
  RARP: (marker) =>
    ethernet(
      own.mac,
      broadcast,
      0x8035,
      arp({ operation: 2, senderMac: own.mac, sender: own.ip, target: victim.ip }, marker),
    ),
  'an unknown ethertype': (marker) =>
    ethernet(own.mac, victim.mac, 0x88b5, Buffer.concat([Buffer.alloc(46), marker])),
  'an 802.3 frame': (marker) => ethernet(own.mac, victim.mac, 46, Buffer.concat([Buffer.alloc(38), marker])),
  'IPv4 in a VLAN tag': (marker) =>
    tagged(
      own.mac,
      victim.mac,
      0x8100,
      0x0800,
      ipv4Packet(gateway.ip, victim.ip, 17, udp(1000, 2000, marker)),
    ),
  'IPv4 in a service VLAN tag': (marker) =>
    tagged(
      own.mac,
      victim.mac,
      0x88a8,
      0x0800,
      ipv4Packet(gateway.ip, victim.ip, 17, udp(1000, 2000, marker)),
    ),
};

const all = Object.entries({ ...allowed, ...forbidden });

/** Which of the frames arrive at the victim. */
const arriving = async (t: ExecutionContext, secure: boolean): Promise<readonly string[]> => {
  const rig = await Rig.make(t);
  rig.controller.document = hostDocument(
    1,
    segment(1),
    guest(11, 1, own.ip, { secure }),
    guest(12, 1, victim.ip),
  );
  await rig.agent();
  await rig.controller.ready(1);
  await rig.controller.until(
    'ports up',
    () => rig.links().filter((link) => link.name.startsWith('pt') && link.carrier).length === 2,
  );
  using attacker = openRawSocket(rig.namespaceOf(11), 'eth0');
  using receiver = openRawSocket(rig.namespaceOf(12), 'eth0');
  const markers = all.map(() => randomBytes(12));
  for (const [index, [, make]] of all.entries()) attacker.send(make(markers[index] as Buffer));
  await sleep(100);
  const frames = receiver.received();
  return all
    .filter((_, index) => frames.some((frame) => frame.includes(markers[index] as Buffer)))
    .map(([name]) => name);
};

test.serial('a guest sends what it may and nothing else', async (t) => {
  t.deepEqual(await arriving(t, true), Object.keys(allowed));
});

test.serial('without port security every one of these frames arrives', async (t) => {
  t.deepEqual(
    await arriving(t, false),
    all.map(([name]) => name),
  );
});
