import test from 'ava';
import type { Condition, HealthCheck, RouterStatus } from 'documents';
import { ailmentsAfter, complaints, isDoubtful, sickness, SICKNESS } from '../../model/sick-router.ts';

const condition = (type: string, status: Condition['status'], reason: string): Condition => ({
  type,
  status,
  reason,
  message: '',
  observedGeneration: 1,
  lastTransitionTime: 1,
});
const check = (name: string, status: HealthCheck['status']): HealthCheck => ({
  name,
  status,
  message: '',
  checkedAt: 1,
});
const report = (given: Partial<RouterStatus>): RouterStatus => ({
  id: 'rtr-1',
  observedGeneration: 4,
  appliedGeneration: 4,
  version: '1',
  startedAt: 1,
  conditions: [condition('Ready', 'True', 'Ready')],
  health: [],
  counters: [],
  leases: [],
  ...given,
});

test('what a fresh router would suffer from, too, is no complaint', (t) => {
  t.deepEqual(complaints(report({})), []);
  t.deepEqual(
    complaints(
      report({
        health: [
          check('gateway public0', 'fail'),
          check('load balancer www', 'fail'),
          check('disk', 'fail'),
          check('memory', 'warn'),
        ],
      }),
    ),
    [],
  );
  t.deepEqual(
    complaints(
      report({
        health: [check('dnsmasq', 'fail')],
        conditions: [condition('Ready', 'False', 'Exited'), condition('Drifted', 'True', 'Foreign')],
      }),
    ),
    ['Ready is not well (Exited)', 'Drifted is not well (Foreign)', 'its health check dnsmasq fails'],
  );
});

test('a complaint counts from when it began, and anew after it was gone', (t) => {
  const first = ailmentsAfter(new Map(), ['a'], 100);
  const second = ailmentsAfter(first, ['a', 'b'], 200);
  t.deepEqual(
    [...second],
    [
      ['a', 100],
      ['b', 200],
    ],
  );
  t.deepEqual([...ailmentsAfter(ailmentsAfter(second, [], 300), ['a'], 400)], [['a', 400]]);
});

test('a document that nobody could apply makes no router sick; what ailed it before goes on counting', (t) => {
  const stuck = report({
    observedGeneration: 5,
    conditions: [condition('Ready', 'False', 'ApplyFailed')],
    health: [check('dnsmasq', 'fail')],
  });
  const dnsmasq = 'its health check dnsmasq fails';
  t.true(isDoubtful(stuck, 4));
  // Nothing was wrong before: it is the document, however often it is changed.
  let ailments = ailmentsAfter(new Map(), complaints(stuck), 100, true);
  ailments = ailmentsAfter(ailments, complaints({ ...stuck, observedGeneration: 6 }), 200_000, true);
  t.deepEqual([...ailments], []);
  // Its dnsmasq was dead before the document came, and is.
  ailments = ailmentsAfter(new Map([[dnsmasq, 50]]), complaints(stuck), 100, true);
  t.deepEqual([...ailments], [[dnsmasq, 50]]);
  t.is(sickness({ heardAt: 70_000, answers: null, ailments }, 70_000, SICKNESS), `${dnsmasq} for 70 s`);
  // It could not even put things right before: that a rule came does not make it well.
  const before = complaints(report({ conditions: [condition('Ready', 'False', 'ApplyFailed')] }));
  ailments = ailmentsAfter(ailmentsAfter(new Map(), before, 10), complaints(stuck), 100, true);
  t.deepEqual([...ailments], [['Ready is not well (ApplyFailed)', 10]]);
  // Once healed it is forgotten, also while the document does not apply.
  t.deepEqual([...ailmentsAfter(ailmentsAfter(ailments, [], 200, true), before, 300, true)], []);
  // A document that is in force in another router of the network, or was in this one, is not to blame.
  t.false(isDoubtful(stuck, 5));
  t.false(
    isDoubtful(report({ observedGeneration: 5, appliedGeneration: 0 }), 5),
    'a daemon that was started anew',
  );
  t.false(isDoubtful(report({}), 0));
});

test('a router is sick when something does not heal in time, or its daemon neither tells nor answers', (t) => {
  const now = 1_000_000;
  const patient = (heardAgo: number, answers: boolean | null, ailing?: number) =>
    sickness(
      {
        heardAt: now - heardAgo,
        answers,
        ailments: new Map(ailing === undefined ? [] : [['its health check dnsmasq fails', now - ailing]]),
      },
      now,
      SICKNESS,
    );
  t.is(patient(1000, null), null);
  t.is(patient(SICKNESS.silent - 1, false), null);
  t.is(patient(SICKNESS.silent, true), null, 'it answers');
  t.is(patient(SICKNESS.silent, null), null, 'its host is not there: nothing is known');
  t.regex(patient(SICKNESS.silent, false) ?? '', /not been heard for 30 s, and does not answer/);
  t.is(patient(1000, null, SICKNESS.unwell - 1), null);
  t.is(patient(1000, null, SICKNESS.unwell), 'its health check dnsmasq fails for 60 s');
});
