import test from 'ava';
import { type HostDocument, verifyHostDocument, verifyRouterDocument } from '../src/index.ts';
import { exampleRouterDocument } from './example.ts';

test('a good router document has no problems', (t) => {
  t.deepEqual(verifyRouterDocument(exampleRouterDocument), []);
});

test('every problem of the shape is reported at once, each with pointer and remedy', (t) => {
  const problems = verifyRouterDocument({
    ...exampleRouterDocument,
    surprise: 1,
    hostname: 'Not A Host',
    legs: [
      { ...exampleRouterDocument.legs[0], mac: '01:00:5e:00:00:01', mtu: 1, addresses: ['010.0.0.1/24'] },
    ],
    portForwards: [
      { ...exampleRouterDocument.portForwards[0], protocol: 'sctp', guestAddress: 'fe80::1%eth0' },
    ],
  });
  t.deepEqual(problems.map(({ pointer, code }) => `${pointer} ${code}`).sort(), [
    '/hostname bad-format',
    '/legs/0/addresses/0 bad-format',
    '/legs/0/mac bad-format',
    '/legs/0/mtu out-of-bounds',
    '/portForwards/0/guestAddress bad-format',
    '/portForwards/0/protocol not-allowed',
    '/surprise unknown-field',
  ]);
  for (const problem of problems) {
    t.true(problem.message.length > 5);
    t.true(problem.hint.length > 3);
  }
  t.like(
    problems.find(({ code }) => code === 'not-allowed'),
    { message: '"sctp" is not one of: tcp, udp' },
  );
});

test('legs that share a device, a MAC or addresses are refused', (t) => {
  const [guest, outside] = exampleRouterDocument.legs;
  if (guest === undefined || outside === undefined) throw new Error('the example has two legs');
  const twin = { ...guest, id: 'port-00000000000h', addresses: ['10.1.0.1/16'] };
  const problems = verifyRouterDocument({ ...exampleRouterDocument, legs: [guest, twin, outside] });
  t.deepEqual(problems.map(({ code }) => code).sort(), [
    'duplicate-device',
    'duplicate-mac',
    'overlapping-prefix',
  ]);
});

test('a reference to a leg that is not there is refused, with the legs that are', (t) => {
  const problems = verifyRouterDocument({
    ...exampleRouterDocument,
    routes: [{ id: 'rt-1', destination: '10.9.0.0/16', via: '10.1.1.9', leg: 'port-x' }],
  });
  t.is(problems.length, 1);
  t.like(problems[0], { pointer: '/routes/0/leg', code: 'unknown-leg' });
  t.true(problems[0]?.hint.includes('port-00000000000g'));
});

test('items out of order and doubled ids are refused', (t) => {
  const [rule] = exampleRouterDocument.firewallRules;
  if (rule === undefined) throw new Error('the example has a rule');
  const problems = verifyRouterDocument({
    ...exampleRouterDocument,
    firewallRules: [
      { ...rule, id: 'fw-b' },
      { ...rule, id: 'fw-a' },
      { ...rule, id: 'fw-a' },
    ],
  });
  t.deepEqual(
    problems.map(({ pointer, code }) => `${pointer} ${code}`),
    ['/firewallRules/1/id not-ordered', '/firewallRules/2/id duplicate-id'],
  );
});

test('a host document is checked for references and devices used twice', (t) => {
  const good: HostDocument = {
    schemaVersion: 1,
    id: 'host-000000000001',
    generation: 1,
    segments: [{ id: 'seg-1', role: 'guest', device: 'br1', mtu: 1450, vni: 100 }],
    ports: [
      {
        id: 'port-1',
        segment: 'seg-1',
        machine: 'ins-1',
        device: 'pt1',
        machineDevice: 'eth0',
        mac: '02:00:00:00:00:01',
        mtu: 1450,
        role: 'guest',
        security: { addresses: ['10.1.1.11'] },
        active: true,
      },
    ],
    fdb: [{ id: 'fdb-1', segment: 'seg-1', mac: '02:00:00:00:00:01', port: 'port-1' }],
    machines: [{ id: 'ins-1', kind: 'guest', driver: 'namespace', hostname: 'web-1', state: 'running' }],
  };
  t.deepEqual(verifyHostDocument(good), []);
  const [port] = good.ports;
  if (port === undefined) throw new Error('there is a port');
  const bad = verifyHostDocument({
    ...good,
    machines: [],
    fdb: [{ ...good.fdb[0], port: 'port-9' }],
    ports: [port, { ...port, id: 'port-2', segment: 'seg-9' }],
  });
  t.deepEqual(bad.map(({ pointer, code }) => `${pointer} ${code}`).sort(), [
    '/fdb/0/port unknown-port',
    '/ports/0/machine unknown-machine',
    '/ports/1/device duplicate-device',
    '/ports/1/machine unknown-machine',
    '/ports/1/machineDevice duplicate-device',
    '/ports/1/segment unknown-segment',
  ]);
});
