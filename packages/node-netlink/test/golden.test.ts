/** What we send against what iproute2 and conntrack-tools send; recorded by golden/capture.ts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import {
  addresses,
  fdb,
  IPS_ASSURED,
  IPS_CONFIRMED,
  IPS_SEEN_REPLY,
  links,
  neighbours,
  type NetlinkRequest,
  qdiscs,
  routes,
  rules,
} from 'node-netlink';
import { encodeInsert } from '../src/conntrack-codec.ts';
import { canonicalMessage } from './support/canonical-message.ts';

interface Golden {
  readonly intent: string;
  readonly command: string;
  readonly indices: Readonly<Record<string, number>>;
  readonly messages: readonly string[];
}

const golden = JSON.parse(
  readFileSync(join(import.meta.dirname, 'golden', 'messages.json'), 'utf8'),
) as readonly Golden[];

const off = false;
const on = true;

/** The same intents, asked of us. */
const requests: Readonly<Record<string, (index: (name: string) => number) => NetlinkRequest | Buffer>> = {
  bridge: () =>
    links.add({
      kind: 'bridge',
      name: 'br0',
      bridge: { forwardDelay: 0, ageingTime: 300, stp: off, multicastSnooping: off },
    }),
  veth: () =>
    links.add({
      kind: 'veth',
      name: 'v0',
      mac: '02:00:00:00:00:01',
      mtu: 1400,
      peer: { name: 'v1', mac: '02:00:00:00:00:02', mtu: 1400 },
    }),
  vxlan: () =>
    links.add({
      kind: 'vxlan',
      name: 'vx0',
      vxlan: { id: 42, local: '10.0.0.1', port: 4789, learning: off },
    }),
  'vxlan with a group': () =>
    links.add({
      kind: 'vxlan',
      name: 'vx1',
      vxlan: { id: 43, remote: '239.1.1.1', dev: 'br0', ttl: 9, port: 4789, learning: on },
    }),
  vlan: () => links.add({ kind: 'vlan', name: 'vl0', vlan: { id: 5, dev: 'v0' } }),
  dummy: () => links.add({ kind: 'dummy', name: 'd0' }),
  master: (index) => links.set({ index: index('v0'), master: 'br0' }),
  'bridge up': (index) => links.set({ index: index('br0'), up: on }),
  'port up': (index) => links.set({ index: index('v0'), up: on }),
  'vxlan up': (index) => links.set({ index: index('vx0'), up: on }),
  'mtu and MAC': (index) => links.set({ index: index('v1'), mac: '02:00:00:00:00:09', mtu: 1300 }),
  rename: (index) => links.set({ index: index('v1'), newName: 'w1' }),
  group: (index) => links.set({ index: index('w1'), group: 77 }),
  'no IPv6 link-local address': (index) => links.set({ index: index('w1'), ipv6AddressGeneration: 'none' }),
  'port settings': () =>
    links.set({
      name: 'v0',
      bridgePort: {
        learning: off,
        flood: off,
        mcastFlood: off,
        bcastFlood: off,
        isolated: on,
        hairpin: on,
        neighSuppress: on,
        guard: on,
      },
    }),
  address: () => addresses.add({ dev: 'br0', address: '10.1.1.1/24', broadcast: '10.1.1.255' }),
  'address again': () => addresses.replace({ dev: 'br0', address: '10.1.1.1/24', broadcast: '10.1.1.255' }),
  'IPv6 address': () => addresses.add({ dev: 'br0', address: 'fd00::1/64', noDad: on }),
  'address without route': () => addresses.add({ dev: 'br0', address: '10.2.1.1/24', noPrefixRoute: on }),
  'address for a while': () =>
    addresses.add({ dev: 'br0', address: 'fd01::1/64', validLifetime: 600, preferredLifetime: 300 }),
  'address removed': () => addresses.remove({ dev: 'br0', address: '10.2.1.1/24' }),
  route: () => routes.add({ destination: '10.9.0.0/16', via: '10.1.1.2' }),
  'link route': () => routes.add({ destination: '10.10.0.0/16', dev: 'br0' }),
  'default route in a table': () =>
    routes.add({ destination: 'default', via: '10.1.1.254', table: 1000, metric: 5, protocol: 'static' }),
  'onlink route': () =>
    routes.replace({
      destination: '10.5.0.0/16',
      via: '192.0.2.1',
      dev: 'br0',
      onlink: on,
      preferredSource: '10.1.1.1',
    }),
  'multipath route': () =>
    routes.add({
      destination: '10.6.0.0/16',
      nextHops: [{ via: '10.1.1.2' }, { via: '10.1.1.3', weight: 3 }],
    }),
  'IPv6 route': () => routes.add({ destination: '2001:db8::/32', via: 'fd00::2', mtu: 1400 }),
  'route over IPv6': () => routes.add({ destination: '10.7.0.0/16', via: 'fd00::9', dev: 'br0' }),
  blackhole: () => routes.add({ destination: '10.99.0.0/16', type: 'blackhole' }),
  'route removed': () => routes.remove({ destination: '10.9.0.0/16' }),
  rule: () => rules.add({ priority: 100, from: '10.1.1.0/24', mark: 7, inputDev: 'br0', table: 1000 }),
  'IPv6 rule': () => rules.add({ priority: 101, to: 'fd00::/8', table: 100, suppressPrefixLength: 0 }),
  'rule with ports': () =>
    rules.add({ priority: 102, ipProtocol: 6, destinationPorts: [80, 90], table: 100 }),
  neighbour: () => neighbours.add({ dev: 'br0', address: '10.1.1.9', mac: '02:00:00:00:00:99' }),
  'neighbour again': () =>
    neighbours.replace({ dev: 'br0', address: '10.1.1.9', mac: '02:00:00:00:00:98', state: 'reachable' }),
  'IPv6 neighbour': () =>
    neighbours.add({ dev: 'br0', address: 'fd00::9', mac: '02:00:00:00:00:99', state: 'stale' }),
  'forwarding entry': () => fdb.add({ dev: 'v0', mac: '02:00:00:00:00:77' }),
  'sticky forwarding entry': () => fdb.replace({ dev: 'v0', mac: '02:00:00:00:00:77', sticky: on }),
  'VXLAN forwarding entry': () =>
    fdb.add({
      dev: 'vx0',
      mac: '02:00:00:00:00:78',
      table: 'self',
      state: 'permanent',
      destination: '10.0.0.9',
      port: 4790,
      vni: 44,
    }),
  'forwarding entry removed': () => fdb.remove({ dev: 'v0', mac: '02:00:00:00:00:77' }),
  htb: () => qdiscs.add({ dev: 'v0', kind: 'htb', handle: 0x10000, defaultClass: 0x10 }),
  'qdisc removed': () => qdiscs.remove({ dev: 'v0' }),
  clsact: () => qdiscs.add({ dev: 'v0', kind: 'clsact' }),
  'no master': (index) => links.set({ index: index('v0'), master: null }),
  moved: (index) => links.set({ index: index('vx1'), netns: 'other' }),
  removed: (index) => links.remove({ index: index('v0') }),
  'removed group': () => links.remove({ group: 77 }),
  'connection with source NAT': () =>
    encodeInsert({
      original: {
        source: '10.1.1.12',
        destination: '203.0.113.6',
        protocol: 6,
        sourcePort: 41000,
        destinationPort: 443,
      },
      reply: {
        source: '203.0.113.6',
        destination: '198.51.100.10',
        protocol: 6,
        sourcePort: 443,
        destinationPort: 33000,
      },
      status: IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED,
      mark: 0,
      timeout: 600,
      zone: 0,
      tcp: {
        state: 'established',
        windowScaleOriginal: 0,
        windowScaleReply: 0,
        flagsOriginal: 0x0a,
        flagsReply: 0x0a,
      },
    }),
  connection: () =>
    encodeInsert({
      original: {
        source: '10.1.1.13',
        destination: '203.0.113.6',
        protocol: 17,
        sourcePort: 41000,
        destinationPort: 53,
      },
      reply: {
        source: '203.0.113.6',
        destination: '10.1.1.13',
        protocol: 17,
        sourcePort: 53,
        destinationPort: 41000,
      },
      status: IPS_CONFIRMED,
      mark: 9,
      timeout: 60,
      zone: 0,
    }),
};

/** Where we differ on purpose. */
const onPurpose = (intent: string, ours: string[], theirs: string[]): [string[], string[]] => {
  // A change is RTM_SETLINK here: with RTM_NEWLINK the kernel would take a missing name for a change of a whole group.
  const set = (lines: string[]): string[] =>
    lines.map((line) => line.replace(/^type 19 flags 5/, 'type 16 flags 5'));
  // The lookup of the namespace is theirs to number.
  const descriptor = (lines: string[]): string[] => lines.map((line) => line.replace(/^28 .*/, '28 fd'));
  switch (intent) {
    case 'connection with source NAT': {
      // All flags are set from the entry, not only those the tool knows; no window scales are left to chance.
      const flags = (lines: string[]): string[] =>
        lines
          .map((line) => line.replace(/^( +[45] 0a)(ff|0a)$/, '$1'))
          .filter((line) => !/^ +[23] 00$/.test(line));
      return [flags(ours), flags(theirs)];
    }
    case 'connection':
      // The tool leaves the status to the kernel, which confirms every entry.
      return [ours.filter((line) => line !== '3 00000008'), theirs.filter((line) => !line.startsWith('3 '))];
    default:
      return [descriptor(set(ours)), descriptor(set(theirs))];
  }
};

for (const { intent, command, indices, messages } of golden) {
  test(`${intent}: ${command}`, (t) => {
    const index = (name: string): number => {
      const found = indices[name];
      if (found === undefined) throw new Error(`no link ${name} was there`);
      return found;
    };
    const request = requests[intent]?.(index);
    t.truthy(request, 'every recorded command has its request');
    if (request === undefined) return;
    const context = { linkIndex: index, namespaceDescriptor: () => 4 };
    const encoded = Buffer.isBuffer(request)
      ? [request]
      : request.steps.map((step) => (typeof step === 'function' ? step(context) : Buffer.alloc(0)));
    t.is(encoded.length, 1);
    const ours = encoded[0] ?? Buffer.alloc(0);
    t.is(ours.readUInt32LE(0), ours.length);
    // The tools ask questions before they act; the last message is the act.
    const theirs = Buffer.from(messages.at(-1) ?? '', 'hex');
    const [left, right] = onPurpose(intent, canonicalMessage(ours), canonicalMessage(theirs));
    t.deepEqual(left, right);
  });
}

test('every request has its recording', (t) => {
  t.deepEqual(Object.keys(requests).toSorted(), golden.map(({ intent }) => intent).toSorted());
});

test('control: another value is another message', (t) => {
  const context = { linkIndex: () => 2, namespaceDescriptor: () => 4 };
  const encode = (address: string): string[] => {
    const [step] = addresses.add({ dev: 'br0', address }).steps;
    return typeof step === 'function' ? canonicalMessage(step(context)) : [];
  };
  t.notDeepEqual(encode('10.1.1.1/24'), encode('10.1.1.1/25'));
});
