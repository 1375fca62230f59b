import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import type { RouterEvent } from 'documents';
import { backOffDelay } from '../channel/back-off.ts';
import { checkHostDocument } from '../document/document-file.ts';
import { restartDelay } from '../machines/namespace/supervised-process.ts';
import { parseGuestLease } from '../machines/namespace/lease.ts';
import { belongsToPrefix, deviceAlias, parseDeviceAlias } from '../names.ts';
import { EventQueue } from '../routers/event-queue.ts';
import { statePathProblem } from '../state-path.ts';
import { hostConditions } from '../status.ts';
import { host, hostDocument } from './fixtures/documents.ts';

test('waiting grows to its limit and never to nothing', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempt, random) => {
        const delay = backOffDelay({ first: 100, longest: 5000 }, attempt, random);
        return delay >= 50 && delay <= 5000;
      },
    ),
  );
  t.is(backOffDelay({ first: 100, longest: 5000 }, 1, 0.999), 100);
  t.is(backOffDelay({ first: 100, longest: 5000 }, 50, 0), 2500);
  t.deepEqual([0, 1, 2, 50].map(restartDelay), [0, 100, 200, 10_000]);
});

const event = (number: number): RouterEvent => ({
  id: `evt-${number}`,
  time: number,
  type: 'router.applied',
  level: 'info',
  subject: 'rtr-1',
  message: `Number ${number}`,
  generation: 1,
});

test('events survive a restart, a torn last line and a controller that refuses', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'svt-events-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'events.jsonl');
  const first = new EventQueue(path, () => {});
  first.open();
  first.add([event(1), event(2)], 'rtr-1');
  first.add([event(3)]);
  writeFileSync(path, `${readFileSync(path, 'utf8')}{"event":{"id":"evt-4`);
  const next = new EventQueue(path, () => {});
  next.open();
  t.is(next.cursor('rtr-1'), 'evt-2');
  await t.throwsAsync(next.deliver(() => Promise.reject(new Error('away'))));
  t.is(next.length, 3);
  const delivered: string[] = [];
  await next.deliver(async (events) => {
    delivered.push(...events.map(({ id }) => id));
  });
  t.deepEqual(delivered, ['evt-1', 'evt-2', 'evt-3']);
  const last = new EventQueue(path, () => {});
  last.open();
  t.is(last.length, 0);
  t.is(last.cursor('rtr-1'), 'evt-2', 'what is delivered is still remembered as heard');
  last.add(Array.from({ length: 11_000 }, (_, index) => event(index)));
  t.is(last.length, 10_000, 'the oldest go when nobody fetches them');
});

test('an alias says what a device is, and anything else is not ours', (t) => {
  t.deepEqual(parseDeviceAlias(deviceAlias('port', 'port-1', 'ins-1 eth0')), {
    kind: 'port',
    id: 'port-1',
    detail: 'ins-1 eth0',
  });
  for (const alias of [null, '', 'selvage', 'selvage:port:', 'my selvage:port:port-1']) {
    t.is(parseDeviceAlias(alias), null);
  }
});

test('a prefix claims its own namespaces and not those of a longer one', (t) => {
  const machines = new Set(['ins-odd-name']);
  for (const name of [
    'sv-fabric',
    'sv-internet',
    'sv-rtr-4k2v9x0d1m7q',
    'sv-ins-000000000001',
    'sv-ins-odd-name',
  ]) {
    t.true(belongsToPrefix('sv', name, machines), name);
  }
  for (const name of ['sv', 'svx-fabric', 'sv-b-fabric', 'sv-b-ins-000000000001', 'sv-other', 'eth-fabric']) {
    t.false(belongsToPrefix('sv', name, machines), name);
  }
});

test('a state path that is too long is told with what would do', (t) => {
  t.is(statePathProblem('/var/lib/selvage'), null);
  t.regex(statePathProblem(`/${'a'.repeat(90)}`) ?? '', /at most \d+/);
  t.regex(statePathProblem('state') ?? '', /absolute/);
});

test('a lease is read strictly', (t) => {
  t.deepEqual(parseGuestLease('address=10.1.1.2\nmask=24\n'), { address: '10.1.1.2' });
  for (const text of ['', 'address=', 'address=10.1.1', 'address=010.1.1.1', 'other=1'])
    t.is(parseGuestLease(text), null);
});

test('documents of others, broken ones and no documents are refused with a reason', (t) => {
  t.true('document' in checkHostDocument(JSON.stringify(hostDocument(3)), host));
  const codes = (text: string, id = host) => {
    const checked = checkHostDocument(text, id);
    return 'problems' in checked ? checked.problems.map(({ code }) => code) : [];
  };
  t.deepEqual(codes('{'), ['not-json']);
  t.deepEqual(codes(JSON.stringify(hostDocument(3)), 'host-other'), ['other-host']);
  t.true(codes(JSON.stringify({ ...hostDocument(3), surprise: 1 })).length > 0);
});

test('conditions keep the time of their last change', (t) => {
  const facts = {
    id: host,
    version: '1',
    startedAt: 1,
    generation: 1,
    refused: null,
    fabric: { failures: [] },
    security: { failures: [] },
    machines: { failures: [] },
    machineStatuses: [],
  };
  const first = hostConditions(facts, [], 100);
  t.true(first.every(({ status, lastTransitionTime }) => status === 'True' && lastTransitionTime === 100));
  const failures = [{ subject: 'port-1', message: 'No such device' }];
  const second = hostConditions({ ...facts, generation: 2, fabric: { failures } }, first, 200);
  t.like(
    second.find(({ type }) => type === 'FabricApplied'),
    {
      status: 'False',
      message: 'port-1: No such device',
      lastTransitionTime: 200,
      observedGeneration: 2,
    },
  );
  t.like(
    second.find(({ type }) => type === 'Ready'),
    { status: 'False', message: 'See FabricApplied' },
  );
  t.like(
    second.find(({ type }) => type === 'MachinesApplied'),
    { status: 'True', lastTransitionTime: 100 },
  );
});
