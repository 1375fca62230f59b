/** One router, real packets: every service that is one table's work, each with what must not get through. */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { RouterDocument } from 'documents';
import { routerDocument } from '../support/documents.ts';
import { answers } from '../support/answers.ts';
import { Lab } from '../support/lab.ts';

let lab: Lab;
let generation = 0;

test.before(async () => {
  lab = new Lab();
  await lab.start();
  await Promise.all([
    ...[80, 2001, 2002, 3005, 9000].map((port) => lab.web.serve(port)),
    ...[80, 9000].map((port) => lab.other.serve(port)),
    ...[80, 443, 53].map((port) => lab.outside.serve(port)),
  ]);
});

test.after.always(async () => {
  await lab?.close();
});

const put = async (parts: Partial<RouterDocument>): Promise<void> => {
  generation += 1;
  await lab.put(routerDocument({ generation, ...parts }));
};

const anyone = ['0.0.0.0/0'];
const allow = { egressPolicies: [{ id: 'eg-1', leg: 'leg-guest0', default: 'allow' as const }] };
const port = (number: number) => ({ first: number, last: number });

test.serial('source NAT: guests leave with the public address and a port of the range', async (t) => {
  await put(allow);
  for (const protocol of ['tcp', 'udp'] as const) {
    const answer = await lab.web[protocol]({ address: '198.51.100.1', port: 80 });
    const [address, source] = answer.split(' ');
    t.is(address, '198.51.100.10');
    t.true(Number(source) >= 32_768 && Number(source) <= 60_999, answer);
  }
  t.true(lab.web.reaches('198.51.100.1'));
  // Control: without source NAT the outside does not know the way back.
  await put({ ...allow, sourceNats: [] });
  t.is(await lab.web.tcp({ address: '198.51.100.1', port: 80 }), 'timeout');
});

test.serial('egress: deny lets only the exceptions out, allow keeps only the exceptions in', async (t) => {
  const rule = (parts: object) => ({
    id: 'egr-1',
    leg: 'leg-guest0',
    protocol: 'tcp' as const,
    sources: anyone,
    destinations: anyone,
    ...parts,
  });
  const out = (number: number, address = '198.51.100.1') =>
    lab.web.tcp({ address, port: number, timeout: 300 });
  await put({});
  t.is(await out(80), 'timeout');
  t.false(lab.web.ping('198.51.100.1'));
  await put({ egressRules: [rule({ ports: port(80) })] });
  await answers(t, () => out(80), /^198\.51\.100\.10 /);
  t.is(await out(443), 'timeout');
  t.is(await lab.web.udp({ address: '198.51.100.1', port: 80 }), 'timeout');
  await put({
    egressRules: [
      rule({ ports: { first: 1, last: 442 }, sources: ['10.1.1.10/32'], destinations: ['198.51.100.2/32'] }),
    ],
  });
  await answers(t, () => out(80, '198.51.100.2'), /^198\.51\.100\.10 /);
  t.is(await out(80), 'timeout');
  t.is(await out(443, '198.51.100.2'), 'timeout');
  t.is(await lab.other.tcp({ address: '198.51.100.2', port: 80 }), 'timeout');
  await put({ egressRules: [rule({ protocol: 'icmp', icmp: { type: 8, code: 0 } })] });
  t.true(lab.web.reaches('198.51.100.1'));
  await put({ egressRules: [rule({ protocol: 'icmp', icmp: { type: 13, code: null } })] });
  t.false(lab.web.ping('198.51.100.1'));
  await put({ egressRules: [rule({ protocol: 'all', destinations: ['198.51.100.1/32'] })] });
  t.true(lab.web.reaches('198.51.100.1'));
  await answers(t, () => out(443), /^198\.51\.100\.10 /);
  t.is(await out(443, '198.51.100.2'), 'timeout');

  await put({ ...allow, egressRules: [rule({ ports: port(443) }), rule({ id: 'egr-2', protocol: 'icmp' })] });
  await answers(t, () => out(80), /^198\.51\.100\.10 /);
  t.is(await out(443), 'timeout');
  t.false(lab.web.ping('198.51.100.1'));
});

const forward = (parts: object = {}) => ({
  id: 'pf-1',
  publicAddress: '198.51.100.12',
  protocol: 'tcp' as const,
  publicPorts: port(8080),
  guestAddress: '10.1.1.10',
  guestPorts: port(80),
  ...parts,
});
const opening = (parts: object = {}) => ({
  id: 'fw-1',
  publicAddress: '198.51.100.12',
  protocol: 'tcp' as const,
  ports: port(8080),
  sources: anyone,
  ...parts,
});

test.serial('firewall: closed until a rule opens it, for the sources the rule names', async (t) => {
  const from = (source: string) =>
    lab.outside.tcp({ address: '198.51.100.12', port: 8080, from: source, timeout: 300 });
  await put({ portForwards: [forward()] });
  t.is(await from('198.51.100.1'), 'timeout');
  await put({ portForwards: [forward()], firewallRules: [opening()] });
  await answers(t, () => from('198.51.100.1'), /^198\.51\.100\.1 \d+ 80$/);
  await put({
    portForwards: [forward()],
    firewallRules: [opening({ sources: ['198.51.100.0/25', '192.0.2.0/24'] })],
  });
  await answers(t, () => from('198.51.100.2'), /^198\.51\.100\.2 \d+ 80$/);
  t.is(await from('198.51.100.200'), 'timeout');
  // Overlapping rules: the wide one and the narrow one hold both.
  await put({
    portForwards: [forward()],
    firewallRules: [
      opening({ sources: ['198.51.100.0/25'], ports: { first: 8000, last: 9000 } }),
      opening({ id: 'fw-2', sources: ['198.51.100.200/32'] }),
      opening({ id: 'fw-3', sources: ['198.51.100.0/24'], ports: { first: 8080, last: 8081 } }),
    ],
  });
  await answers(t, () => from('198.51.100.200'), /^198\.51\.100\.200 /);
  await answers(t, () => from('198.51.100.2'), /^198\.51\.100\.2 /);
  await put({
    portForwards: [forward()],
    firewallRules: [opening({ protocol: 'all', ports: undefined, sources: ['198.51.100.200/32'] })],
  });
  await answers(t, () => from('198.51.100.200'), /^198\.51\.100\.200 /);
  t.is(await from('198.51.100.1'), 'timeout');
});

test.serial('ICMP: type and code are looked at', async (t) => {
  const icmp = (parts: object) => opening({ protocol: 'icmp', ports: undefined, ...parts });
  await put({});
  t.false(lab.outside.ping('198.51.100.12'));
  await put({ firewallRules: [icmp({})] });
  t.true(lab.outside.reaches('198.51.100.12'));
  t.false(lab.outside.ping('198.51.100.11'));
  await put({ firewallRules: [icmp({ icmp: { type: 8, code: 0 } })] });
  t.true(lab.outside.reaches('198.51.100.12'));
  await put({ firewallRules: [icmp({ icmp: { type: 13, code: null } })] });
  t.false(lab.outside.ping('198.51.100.12'));
});

test.serial(
  'port forwards: one port, a range that keeps its ports, a range that moves; TCP and UDP',
  async (t) => {
    const call = (protocol: 'tcp' | 'udp', number: number) =>
      lab.outside[protocol]({ address: '198.51.100.12', port: number, timeout: 300 });
    for (const protocol of ['tcp', 'udp'] as const) {
      await put({
        portForwards: [
          forward({ protocol }),
          forward({
            id: 'pf-2',
            protocol,
            publicPorts: { first: 2000, last: 2010 },
            guestPorts: { first: 2000, last: 2010 },
          }),
          forward({
            id: 'pf-3',
            protocol,
            publicPorts: { first: 4000, last: 4010 },
            guestPorts: { first: 3000, last: 3010 },
          }),
        ],
        firewallRules: [opening({ protocol, ports: { first: 1, last: 65_535 } })],
      });
      await answers(t, () => call(protocol, 8080), / 80$/);
      await answers(t, () => call(protocol, 2001), / 2001$/);
      await answers(t, () => call(protocol, 2002), / 2002$/);
      await answers(t, () => call(protocol, 4005), / 3005$/);
      // Controls: beside the ranges, and by the other protocol.
      t.not(await call(protocol, 2011), 'closed');
      t.is(await call(protocol, 9000), 'timeout');
      t.is(await call(protocol === 'tcp' ? 'udp' : 'tcp', 8080), 'timeout');
    }
  },
);

test.serial('static NAT: a guest is reached by, and leaves with, its own public address', async (t) => {
  const staticNats = [{ id: 'st-1', publicAddress: '198.51.100.11', guestAddress: '10.1.1.11' }];
  await put({ ...allow, staticNats });
  t.is(await lab.outside.tcp({ address: '198.51.100.11', port: 80 }), 'timeout');
  await answers(t, () => lab.other.tcp({ address: '198.51.100.1', port: 80 }), /^198\.51\.100\.11 /);
  await answers(t, () => lab.web.tcp({ address: '198.51.100.1', port: 80 }), /^198\.51\.100\.10 /);
  await put({
    ...allow,
    staticNats,
    firewallRules: [opening({ publicAddress: '198.51.100.11', ports: port(80) })],
  });
  await answers(t, () => lab.outside.tcp({ address: '198.51.100.11', port: 80 }), /^198\.51\.100\.1 \d+ 80$/);
  t.is(await lab.outside.tcp({ address: '198.51.100.11', port: 9000 }), 'timeout');
});

test.serial('hairpin: a guest reaches its neighbour, and itself, by the public address', async (t) => {
  const rules = { ...allow, portForwards: [forward()], firewallRules: [opening()] };
  await put(rules);
  await answers(t, () => lab.other.tcp({ address: '198.51.100.12', port: 8080 }), /^10\.1\.1\.1 \d+ 80$/);
  await answers(t, () => lab.web.tcp({ address: '198.51.100.12', port: 8080 }), /^10\.1\.1\.1 \d+ 80$/);
  await put({ ...rules, firewallRules: [opening({ sources: ['198.51.100.0/24'] })] });
  t.is(await lab.other.tcp({ address: '198.51.100.12', port: 8080 }), 'timeout');
});

test.serial('other ways in, the router itself and unused public addresses are closed', async (t) => {
  await put({ ...allow, firewallRules: [opening({ protocol: 'all', ports: undefined })] });
  t.is(await lab.outside.tcp({ address: '198.51.100.12', port: 22 }), 'timeout');
  t.true(lab.web.reaches('10.1.1.1'));
  t.is(await lab.web.tcp({ address: '10.1.1.1', port: 22 }), 'timeout');
  // The gateway's own services are let through to where nobody listens in this test.
  t.is(await lab.web.tcp({ address: '10.1.1.1', port: 53 }), 'ECONNREFUSED');
  t.is(await lab.web.tcp({ address: '198.51.100.10', port: 53 }), 'timeout');
  // Nothing leads from outside to a guest's own address.
  execFileSync('ip', ['-n', lab.outside.netns, 'route', 'replace', '10.1.1.0/24', 'via', '198.51.100.10']);
  t.is(await lab.outside.tcp({ address: '10.1.1.10', port: 80 }), 'timeout');
  execFileSync('ip', ['-n', lab.outside.netns, 'route', 'del', '10.1.1.0/24']);
});

test.serial('revocation cuts the connections a rule had let in, and no others', async (t) => {
  const rules = {
    ...allow,
    portForwards: [forward(), forward({ id: 'pf-2', publicPorts: port(9000), guestPorts: port(9000) })],
    firewallRules: [opening(), opening({ id: 'fw-2', ports: port(9000) })],
  };
  await put(rules);
  const kept = await lab.outside.open({ address: '198.51.100.12', port: 9000 });
  const outward = await lab.web.open({ address: '198.51.100.1', port: 443 });
  for (const taken of [
    { firewallRules: [opening({ id: 'fw-2', ports: port(9000) })] },
    { portForwards: [forward({ id: 'pf-2', publicPorts: port(9000), guestPorts: port(9000) })] },
    {
      firewallRules: [
        opening({ sources: ['198.51.100.128/25'] }),
        opening({ id: 'fw-2', ports: port(9000) }),
      ],
    },
  ]) {
    await put(rules);
    const cut = await lab.outside.open({ address: '198.51.100.12', port: 8080 });
    t.regex(cut.answer, / 80$/);
    // Control: a change that does not concern it leaves it alone.
    await put({ ...rules, hostname: 'r-2' });
    await answers(t, () => lab.outside.say(cut.handle), / 80$/);
    await put({ ...rules, ...taken });
    t.is(await lab.outside.say(cut.handle), 'timeout');
    await answers(t, () => lab.outside.say(kept.handle), / 9000$/);
  }
  await answers(t, () => lab.web.say(outward.handle), / 443$/);
  await put({ ...rules, egressPolicies: [] });
  t.is(await lab.web.say(outward.handle), 'timeout');
  await answers(t, () => lab.outside.say(kept.handle), / 9000$/);
});

test.serial('revocation: static and source NAT cut what went by them', async (t) => {
  const staticNats = [{ id: 'st-1', publicAddress: '198.51.100.11', guestAddress: '10.1.1.11' }];
  const firewallRules = [opening({ publicAddress: '198.51.100.11', ports: port(80) })];
  await put({ ...allow, staticNats, firewallRules });
  const inward = await lab.outside.open({ address: '198.51.100.11', port: 80 });
  const outward = await lab.other.open({ address: '198.51.100.1', port: 443 });
  const beside = await lab.web.open({ address: '198.51.100.1', port: 443 });
  t.regex(outward.answer, /^198\.51\.100\.11 /);
  await put({ ...allow, firewallRules });
  t.is(await lab.outside.say(inward.handle), 'timeout');
  // Picked up again with another source, which the other side does not know: it resets.
  t.notRegex(await lab.other.say(outward.handle), / 443$/);
  await answers(t, () => lab.web.say(beside.handle), /^198\.51\.100\.10 /);
  const [sourceNat] = routerDocument().sourceNats as [RouterDocument['sourceNats'][number]];
  // Other ports, as a router that takes over has them: what flows goes on.
  await put({ ...allow, sourceNats: [{ ...sourceNat, ports: { first: 10_000, last: 32_767 } }] });
  await answers(t, () => lab.web.say(beside.handle), /^198\.51\.100\.10 /);
  await put({ ...allow, sourceNats: [{ ...sourceNat, publicAddress: '198.51.100.12' }] });
  t.notRegex(await lab.web.say(beside.handle), / 443$/);
  await answers(t, () => lab.web.tcp({ address: '198.51.100.1', port: 443 }), /^198\.51\.100\.12 /);
});

test.serial('counters: packets of an address, and connections by rule', async (t) => {
  await put({
    portForwards: [forward({ publicPorts: port(8090) })],
    firewallRules: [opening({ id: 'fw-counted', ports: port(8090) })],
  });
  for (let turn = 0; turn < 3; turn += 1) await lab.outside.tcp({ address: '198.51.100.12', port: 8090 });
  const counted = async () => {
    const { body } = await lab.call<{
      readonly counters: readonly { subject: string; direction: string; packets: number }[];
    }>('GET', '/v1/status');
    return body.counters;
  };
  let counters = await counted();
  for (
    let wait = 0;
    wait < 140 && counters.find(({ subject }) => subject === 'fw-counted') === undefined;
    wait += 1
  ) {
    await sleep(100);
    counters = await counted();
  }
  t.is(counters.find(({ subject }) => subject === 'fw-counted')?.packets, 3);
  const address = counters.filter(({ subject }) => subject === '198.51.100.12');
  t.true(address.every(({ packets }) => packets > 3));
  t.deepEqual(address.map(({ direction }) => direction).toSorted(), ['in', 'out']);
});

test.serial(
  'networks behind one router are closed to each other, and meet at public addresses',
  async (t) => {
    const second = lab.addGuest('y', 'guest1', '02:00:0a:02:01:01', '10.2.1.10/24', '10.2.1.1');
    await second.serve(80);
    const base = routerDocument();
    const legs = [
      base.legs[0],
      {
        id: 'leg-guest1',
        role: 'guest',
        device: 'guest1',
        mac: '02:00:0a:02:01:01',
        mtu: 1450,
        addresses: ['10.2.1.1/24'],
        gateways: [],
      },
      base.legs[1],
    ] as RouterDocument['legs'];
    const sourceNats = ['leg-guest0', 'leg-guest1'].map((leg, index) => ({
      id: `sn-${index}`,
      leg,
      outLeg: 'leg-public0',
      publicAddress: '198.51.100.10',
      ports: { first: 32_768, last: 60_999 },
    }));
    const egressPolicies = [
      { id: 'eg-0', leg: 'leg-guest0', default: 'allow' as const },
      { id: 'eg-1', leg: 'leg-guest1', default: 'deny' as const },
    ];
    const rules = { legs, sourceNats, egressPolicies };
    await put(rules);
    await answers(t, () => lab.web.tcp({ address: '198.51.100.1', port: 80 }), /^198\.51\.100\.10 /);
    t.is(await second.tcp({ address: '198.51.100.1', port: 80, timeout: 300 }), 'timeout');
    t.is(await lab.web.tcp({ address: '10.2.1.10', port: 80, timeout: 300 }), 'timeout');
    t.is(await second.tcp({ address: '10.1.1.10', port: 80, timeout: 300 }), 'timeout');
    // Nor is the gateway of the other network there.
    t.false(second.ping('10.1.1.1'));
    t.true(second.reaches('10.2.1.1'));
    await put({
      ...rules,
      egressRules: [
        {
          id: 'egr-1',
          leg: 'leg-guest1',
          protocol: 'tcp',
          ports: { first: 80, last: 81 },
          sources: anyone,
          destinations: anyone,
        },
      ],
      portForwards: [forward()],
      firewallRules: [opening()],
    });
    await answers(t, () => second.tcp({ address: '198.51.100.1', port: 80 }), /^198\.51\.100\.10 /);
    t.is(await second.tcp({ address: '10.1.1.10', port: 80, timeout: 300 }), 'timeout');
    await answers(t, () => second.tcp({ address: '198.51.100.12', port: 8080 }), /^10\.2\.1\.10 \d+ 80$/);
  },
);
