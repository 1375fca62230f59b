/** What a failover makes of a document, who is on duty, and what counts as a sick daemon: without a kernel. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { type HostDocument, verifyHostDocument } from 'documents';
import { DaemonHealth } from '../failover/daemon-health.ts';
import { readFailovers, writeFailovers } from '../failover/failover-file.ts';
import { fedPairs } from '../failover/fed-pairs.ts';
import { routersOnDuty } from '../failover/on-duty.ts';
import { isInForce, withFailovers, withoutRouter } from '../failover/with-failovers.ts';
import {
  guest,
  hostDocument,
  idOf,
  networkRouter,
  type Part,
  routerLinks,
  segment,
  standingBy,
} from './fixtures/documents.ts';

interface NetworkShape {
  readonly legs: number;
  readonly standby: boolean;
  /** An older router that still drains. */
  readonly draining: boolean;
  readonly guests: number;
}

const shape = fc.record({
  legs: fc.integer({ min: 1, max: 2 }),
  standby: fc.boolean(),
  draining: fc.boolean(),
  guests: fc.integer({ min: 0, max: 2 }),
});

/** Network `number` has routers 10n (active), 10n+1 (its standby), 10n+2 (draining). */
const partsOf = (number: number, { legs, standby, draining, guests }: NetworkShape): Part[] => {
  const segments = Array.from({ length: legs }, (_, leg) => number * 10 + leg);
  return [
    ...segments.map((one) => segment(one)),
    networkRouter(number * 10, number, segments, true),
    ...(standby
      ? [networkRouter(number * 10 + 1, number, segments, false), standingBy(number * 10, number * 10 + 1)]
      : []),
    ...(draining
      ? [
          networkRouter(number * 10 + 2, number, segments, false),
          routerLinks(number * 10 + 2, number * 10, legs),
        ]
      : []),
    ...Array.from({ length: guests }, (_, which) =>
      guest(number * 10 + which, number * 10, `10.${number}.1.${which + 11}`),
    ),
  ];
};

const documentsOf = fc.array(shape, { minLength: 1, maxLength: 4 }).map((shapes) => ({
  shapes,
  document: hostDocument(1, ...shapes.flatMap((one, index) => partsOf(index + 1, one))),
}));

const pairOf = (number: number) => ({
  router: idOf('rtr', number * 10),
  promoted: idOf('rtr', number * 10 + 1),
});

const placesOf = (document: HostDocument, machine: string) => {
  const own = new Set(document.ports.filter((port) => port.machine === machine).map(({ id }) => id));
  return document.fdb
    .filter(({ port }) => own.has(port))
    .map(({ segment: on, mac }) => `${on} ${mac}`)
    .sort();
};

test('after a failover the document verifies, names the dead no more, and all it had is with the standby', (t) => {
  fc.assert(
    fc.property(documentsOf, fc.nat(3), ({ shapes, document }, which) => {
      const number = (which % shapes.length) + 1;
      const pair = pairOf(number);
      const { document: after } = withFailovers(document, [pair]);
      if (shapes[number - 1]?.standby !== true) return after === document;
      t.deepEqual(verifyHostDocument(after), []);
      t.false(JSON.stringify(after).includes(pair.router));
      t.deepEqual(placesOf(after, pair.promoted), placesOf(document, pair.router));
      const promoted = after.ports.filter((port) => port.machine === pair.promoted);
      t.true(promoted.length > 0 && promoted.every((port) => port.active));
      t.false((after.standbys ?? []).some(({ standby }) => standby === pair.promoted));
      // Nothing else moved.
      const others = (one: HostDocument) =>
        one.ports.filter(({ machine }) => machine !== pair.router && machine !== pair.promoted);
      t.deepEqual(others(after), others(document));
      t.is(withFailovers(after, [pair]).document, after);
      t.false(isInForce(after, pair));
      return true;
    }),
  );
});

test('while the dead one cannot be cut off the document verifies and nobody has its places', (t) => {
  fc.assert(
    fc.property(documentsOf, fc.nat(3), ({ shapes, document }, which) => {
      const { router, promoted } = pairOf((which % shapes.length) + 1);
      const after = withoutRouter(document, router);
      t.deepEqual(verifyHostDocument(after), []);
      t.false(JSON.stringify(after).includes(router));
      t.deepEqual(placesOf(after, promoted), []);
      const others = (one: HostDocument) => ({
        machines: one.machines.filter(({ id }) => id !== router),
        ports: one.ports.filter(({ machine }) => machine !== router),
      });
      t.deepEqual(others(after), others(document));
      return true;
    }),
  );
});

test('failovers of several networks do not depend on their order', (t) => {
  fc.assert(
    fc.property(documentsOf, fc.shuffledSubarray([1, 2, 3, 4]), ({ document }, numbers) => {
      const pairs = numbers.map(pairOf);
      t.deepEqual(
        withFailovers(document, pairs).document,
        withFailovers(document, pairs.toReversed()).document,
      );
      return true;
    }),
  );
});

test('who took over may die, too: another standby of the first takes over from it', (t) => {
  const legs = [10, 11];
  const document = hostDocument(
    1,
    ...partsOf(1, { legs: 2, standby: true, draining: false, guests: 1 }),
    networkRouter(13, 1, legs, false),
    standingBy(10, 13),
  );
  const first = pairOf(1);
  const second = { router: first.promoted, promoted: idOf('rtr', 13) };
  const once = withFailovers(document, [first]);
  t.deepEqual(once.document.standbys, [
    { id: second.promoted, router: first.promoted, standby: second.promoted },
  ]);
  const twice = withFailovers(document, [first, second]);
  t.deepEqual(
    twice.inForce.map(({ failover }) => failover),
    [first, second],
  );
  t.deepEqual(verifyHostDocument(twice.document), []);
  t.deepEqual(placesOf(twice.document, second.promoted), placesOf(document, first.router));
  // The controller has heard of the first by now.
  t.deepEqual(
    withFailovers(once.document, [first, second]).inForce.map(({ failover }) => failover),
    [second],
  );
});

test('a document in which the dead one serves no more, or the promoted one is not, rules', (t) => {
  const redundant = { legs: 2, standby: true, draining: false, guests: 1 };
  const pair = pairOf(1);
  const document = hostDocument(1, ...partsOf(1, redundant));
  t.true(isInForce(document, pair));
  const settled = hostDocument(
    2,
    ...[10, 11].map((one) => segment(one)),
    networkRouter(11, 1, [10, 11], true),
  );
  t.is(withFailovers(settled, [pair]).document, settled);
  const alone = hostDocument(2, ...partsOf(1, { ...redundant, standby: false }));
  t.is(withFailovers(alone, [pair]).document, alone);
});

test('on duty is who has active ports; a standby that lacks a leg is none', (t) => {
  const redundant = { legs: 2, standby: true, draining: true, guests: 1 };
  const document = hostDocument(1, ...partsOf(1, redundant));
  const [duty, ...more] = routersOnDuty(document);
  t.deepEqual(more, []);
  t.is(duty?.router, idOf('rtr', 10));
  t.deepEqual(
    duty?.ports.map(({ port, macs }) => [port.machine, macs.length]),
    [
      [idOf('rtr', 10), 1],
      [idOf('rtr', 10), 1],
    ],
  );
  t.deepEqual(
    duty?.candidates.map(({ standby, ports }) => [standby, ports.map(({ machine }) => machine)]),
    [[idOf('rtr', 11), [idOf('rtr', 11), idOf('rtr', 11)]]],
  );
  const lame = { ...document, ports: document.ports.filter(({ id }) => id !== idOf('port', 1111)) };
  t.deepEqual(routersOnDuty(lame)[0]?.candidates, []);
  const stopped = document.machines.map((machine) =>
    machine.id === idOf('rtr', 10) ? { ...machine, state: 'stopped' as const } : machine,
  );
  t.deepEqual(routersOnDuty({ ...document, machines: stopped }), []);
});

test('a standby is fed, one that serves is not', (t) => {
  const redundant = { legs: 2, standby: true, draining: false, guests: 1 };
  const document = hostDocument(1, ...partsOf(1, redundant));
  t.deepEqual(fedPairs(document), document.standbys);
  const ports = document.ports.map((port) => ({ ...port, active: true }));
  t.deepEqual(fedPairs({ ...document, ports }), []);
  t.deepEqual(fedPairs({ ...document, standbys: undefined } as unknown as HostDocument), []);
});

test('the record is read as it was written, and what is none is no failover', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'svt-failover-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'failovers.json');
  t.deepEqual(readFailovers(path), []);
  const failover = { router: 'rtr-a', promoted: 'rtr-b', at: 5, reason: 'gone', microseconds: 7 };
  writeFailovers(path, [failover]);
  t.deepEqual(readFailovers(path), [failover]);
  writeFileSync(path, '{"failovers":[{"router":"rtr-a"},7,null]}');
  t.deepEqual(readFailovers(path), []);
  writeFileSync(path, '{"failov');
  t.deepEqual(readFailovers(path), []);
});

test('a daemon is sick after three ends in ten seconds, or when it stays silent after a restart', (t) => {
  const health = new DaemonHealth();
  health.ended('a', 0);
  health.ended('a', 4000);
  t.is(health.sickness('a', 4000), null);
  health.listens('a', 4500);
  health.ended('a', 9000);
  t.regex(health.sickness('a', 9000) ?? '', /3 times/);
  health.listens('a', 10_000);
  t.regex(health.sickness('a', 19_999) ?? '', /3 times/);
  t.is(health.nextLook(12_000), 8000);
  t.is(health.sickness('a', 20_000), null);
  // Far apart they are no crash loop.
  for (const time of [30_000, 41_000, 52_000, 63_000]) health.ended('a', time);
  t.is(health.sickness('a', 63_000), null);
  health.restarted('b', 0);
  t.is(health.sickness('b', 9999), null);
  t.regex(health.sickness('b', 10_000) ?? '', /does not answer/);
  health.listens('b', 11_000);
  t.is(health.sickness('b', 21_000), null);
  health.keep(new Set());
  t.is(health.nextLook(0), null);
});
