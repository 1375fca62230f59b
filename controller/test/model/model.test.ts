import test from 'ava';
import fc from 'fast-check';
import { type Ipv4Prefix, ipv4FromNumber, ipv4ToNumber, parseIpv4Prefix, prefixRange } from 'ip';
import {
  lowestFreeAddress,
  lowestFreePublicAddress,
  lowestFreeVni,
  macOf,
  VNI_MAX,
} from '../../model/allocation.ts';
import { claimConflicts, duplicateRuleProblems } from '../../model/conflicts.ts';
import { applied, type RouterView, routerState } from '../../model/conditions.ts';
import { Findings } from '../../model/findings.ts';
import { HOST_SILENCE, hostState, leastLoaded } from '../../model/host-state.ts';
import { hostnameOf, nameFault } from '../../model/names.ts';
import { isCollectable, mayFollow, type NetworkState } from '../../model/network-state.ts';
import { Refusal } from '../../model/refusal.ts';
import { forwardProblems, portSpan } from '../../model/rule-checks.ts';

test('the lowest free VNI is free, and every lower one is taken', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 40 })), (taken) => {
      const used = [...taken].sort((a, b) => a - b);
      const vni = lowestFreeVni(used);
      if (vni === null || used.includes(vni)) return false;
      return Array.from({ length: vni - 1 }, (_, index) => index + 1).every((lower) => used.includes(lower));
    }),
  );
  t.is(lowestFreeVni([]), 1);
  t.is(lowestFreeVni([VNI_MAX]), 1);
});

test('the lowest free address is free, in the network, and every lower one is taken', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 24, max: 30 }),
      fc.array(fc.integer({ min: 0, max: 255 })),
      (length, taken) => {
        const prefix = parseIpv4Prefix(`10.1.1.0/${length}`) as Ipv4Prefix;
        const { first, last } = prefixRange(prefix);
        const used = new Set(taken.map((number) => `10.1.1.${number}`));
        const address = lowestFreeAddress(prefix, used);
        const all: string[] = [];
        for (let n = ipv4ToNumber(first); n <= ipv4ToNumber(last); n += 1) all.push(ipv4FromNumber(n));
        return address === (all.find((each) => !used.has(each)) ?? null);
      },
    ),
  );
  t.pass();
});

test('public addresses come from the first range that has one, never the gateway', (t) => {
  const range = (id: string, first: string, last: string, gateway = '203.0.113.1') => ({
    id,
    first,
    last,
    gateway,
  });
  t.deepEqual(lowestFreePublicAddress([range('a', '203.0.113.1', '203.0.113.3')], new Set()), {
    range: 'a',
    address: '203.0.113.2',
  });
  t.deepEqual(
    lowestFreePublicAddress(
      [range('a', '203.0.113.1', '203.0.113.2'), range('b', '203.0.113.8', '203.0.113.9')],
      new Set(['203.0.113.2', '203.0.113.8']),
    ),
    { range: 'b', address: '203.0.113.9' },
  );
  t.is(lowestFreePublicAddress([range('a', '203.0.113.1', '203.0.113.1')], new Set()), null);
});

test('a MAC is unicast and locally administered', (t) => {
  t.is(macOf(Uint8Array.of(1, 2, 3, 4, 255)), '02:01:02:03:04:ff');
  t.throws(() => macOf(Uint8Array.of(1)), { instanceOf: RangeError });
});

test('names are what can be printed and needs no quotes; the reason says which it is', (t) => {
  for (const name of ['web', 'Web 1', 'Büro-Netz', '網路', 'a.b_c:d@e(f)+g#h,i'.replace(',', '')])
    t.is(nameFault(name), null, name);
  for (const [name, why] of [
    ['', /empty/],
    ['x'.repeat(64), /64 characters/],
    ['a"b', /quote/],
    ["a'b", /quote/],
    ['a\nb', /line break/],
    ['a"\nb', /line break.*quote/],
    ['a\u0000b', /cannot be seen/],
    ['a\u202eb', /cannot be seen/],
    [' a', /space/],
    ['a;b', /";"/],
    ['a$b', /"\$"/],
    ['<b>', /"<"/],
    ['e\u0301', /accent/],
  ] as const)
    t.regex(nameFault(name) ?? 'is a name', why, JSON.stringify(name));
});

test('every name gives a host name', (t) => {
  t.is(hostnameOf('Web 1', 'guest'), 'web-1');
  t.is(hostnameOf('Büro', 'guest'), 'buro');
  t.is(hostnameOf('網路', 'guest'), 'guest');
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (name) =>
      /^(?!-)[a-z0-9-]{1,63}(?<!-)$/.test(hostnameOf(name, 'guest')),
    ),
  );
});

test('networks go round their states and back, and never into service without being implemented', (t) => {
  const states: NetworkState[] = ['allocated', 'implementing', 'implemented', 'shutting-down', 'destroying'];
  t.true(mayFollow('allocated', 'implementing'));
  t.true(mayFollow('shutting-down', 'implementing'));
  t.false(mayFollow('allocated', 'implemented'));
  for (const state of states) t.false(mayFollow('destroying', state));
  const idle = { state: 'implemented' as const, idleSince: 1000, persistent: false };
  t.true(isCollectable(idle, 2000, 1000));
  t.false(isCollectable(idle, 1999, 1000));
  t.false(isCollectable({ ...idle, persistent: true }, 9999, 1000));
  t.false(isCollectable({ ...idle, idleSince: null }, 9999, 1000));
  t.false(isCollectable({ ...idle, state: 'allocated' }, 9999, 1000));
});

test('hosts are up while they are heard of; the least loaded one is taken', (t) => {
  t.is(hostState(null, 5), 'unknown');
  t.is(hostState(1000, 1000 + HOST_SILENCE), 'up');
  t.is(hostState(1000, 1001 + HOST_SILENCE), 'down');
  t.is(leastLoaded([]), null);
  t.is(
    leastLoaded([
      { id: 'b', load: 1 },
      { id: 'a', load: 1 },
      { id: 'c', load: 2 },
    ])?.id,
    'a',
  );
});

test('port ranges overlap exactly when they have a port in common', (t) => {
  const span = fc
    .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 5 }))
    .map(([first, more]) => ({ first, last: first + more }));
  fc.assert(
    fc.property(span, span, fc.constantFrom('tcp', 'udp'), fc.constantFrom('tcp', 'udp'), (a, b, p, q) => {
      const found = claimConflicts(
        { ...a, protocol: p },
        '203.0.113.9',
        [{ ...b, id: 'pf-1', protocol: q }],
        null,
        '/x',
      );
      let common = false;
      for (let port = a.first; port <= a.last; port += 1) common ||= port >= b.first && port <= b.last;
      return (found.length === 1) === (common && p === q);
    }),
  );
  t.deepEqual(portSpan(80), { first: 80, last: 80 });
  t.deepEqual(portSpan({ first: 80 }), { first: 80, last: 80 });
  t.deepEqual(
    forwardProblems({ first: 9, last: 8 }, { first: 2, last: 1 }).map(({ pointer }) => pointer),
    ['/publicPorts', '/guestPorts'],
  );
});

test('a rule is a duplicate when another one says the same for one of its sources', (t) => {
  const there = [{ id: 'fw-1', sources: ['10.0.0.0/8'], destinations: [] }];
  t.is(duplicateRuleProblems({ sources: ['10.0.0.0/8', '0.0.0.0/0'], destinations: [] }, there).length, 1);
  t.is(duplicateRuleProblems({ sources: ['0.0.0.0/0'], destinations: [] }, there).length, 0);
  const egress = [{ id: 'eg-1', sources: ['10.0.0.0/8'], destinations: ['192.0.2.0/24'] }];
  t.is(
    duplicateRuleProblems({ sources: ['10.0.0.0/8'], destinations: ['198.51.100.0/24'] }, egress).length,
    0,
  );
  t.is(duplicateRuleProblems({ sources: ['10.0.0.0/8'], destinations: ['192.0.2.0/24'] }, egress).length, 1);
});

test('conditions say why a rule is not in force', (t) => {
  const now = 1_000_000;
  const view = (values: Partial<RouterView>): RouterView => ({
    id: 'rtr-1',
    generation: 5,
    host: 'host-1',
    hostName: 'h1',
    hostLastSeenAt: now,
    observedGeneration: 5,
    appliedGeneration: 5,
    reportedAt: now,
    conditions: [],
    ...values,
  });
  const part = { generation: 5, createdAt: 0 };
  const reason = (router: RouterView | null) => applied(part, router, now).reason;
  t.is(reason(null), 'NetworkNotImplemented');
  t.is(reason(view({})), 'InForce');
  t.is(reason(view({ reportedAt: null, appliedGeneration: 0 })), 'RouterStarting');
  t.is(reason(view({ appliedGeneration: 4, observedGeneration: 4 })), 'Delivering');
  t.is(reason(view({ appliedGeneration: 4 })), 'ApplyFailed');
  t.is(reason(view({ appliedGeneration: 4, hostLastSeenAt: 0 })), 'HostDown');
  t.is(routerState(view({}), now), 'running');
  t.is(routerState(view({ appliedGeneration: 4 }), now), 'degraded');
  t.is(routerState(view({ hostLastSeenAt: 0 }), now), 'unreachable');
  t.is(routerState(view({ reportedAt: null }), now), 'starting');
});

test('findings are told together, by the worst of them', (t) => {
  const problem = (code: string) => ({ pointer: '', code, message: code, hint: '' });
  const status = (...each: (404 | 409 | 422)[]) => {
    const findings = new Findings();
    for (const one of each) findings.add([problem(String(one))], one);
    const error = t.throws(() => findings.check(), { instanceOf: Refusal });
    t.is(error?.problems.length, each.length);
    return error?.status;
  };
  t.is(status(409), 409);
  t.is(status(409, 404), 404);
  t.is(status(404, 422, 409), 422);
  t.notThrows(() => new Findings().check());
});
