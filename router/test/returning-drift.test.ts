import test from 'ava';
import fc from 'fast-check';
import { ReturningDrift } from '../observe/returning-drift.ts';

/** The same thing at these times; whether it is told to return at others. */
const told = (healedAt: readonly number[], now: number): boolean => {
  const drift = new ReturningDrift();
  for (const at of healedAt) drift.healed(['set route default'], at);
  return drift.returning(now).length > 0;
};
const every = (ms: number, times: number): number[] => Array.from({ length: times }, (_, turn) => turn * ms);

test('what drifts again and again returns, until it stops', (t) => {
  t.false(told([0], 1));
  t.false(told(every(1000, 4), 3001));
  t.true(told(every(1000, 5), 4001));
  t.true(told(every(1000, 5), 9000), 'a pause of a few seconds is none');
  t.false(told(every(1000, 5), 9001));
  // What is looked at once a minute drifts in between, whoever does it.
  t.true(told(every(61_000, 5), 4 * 61_000 + 61_000));
  t.false(told(every(61_000, 5), 4 * 61_000 + 90_001));
  t.false(told(every(91_000, 50), 49 * 91_000 + 1), 'now and then is not again and again');
});

test('different things that drift once each do not return', (t) => {
  const drift = new ReturningDrift();
  for (let turn = 0; turn < 50; turn += 1) drift.healed([`removed address 10.0.0.${turn}`], turn * 100);
  t.deepEqual(drift.returning(5000), []);
  // Among them one that does is found.
  for (let turn = 0; turn < 5; turn += 1)
    drift.healed(['wrote the table', `removed address 10.0.1.${turn}`], 5000 + turn * 1000);
  t.deepEqual(drift.returning(9500), ['wrote the table']);
});

test('it is told from the fifth time on for as long as it goes on, however fast that is', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 5, maxLength: 40 }), (gaps) => {
      const drift = new ReturningDrift();
      let now = 0;
      for (const [turn, gap] of gaps.entries()) {
        drift.healed(['wrote chain firewall'], now);
        t.is(drift.returning(now).length > 0, turn >= 4);
        now += gap;
      }
      t.deepEqual(drift.returning(now + 90_000), []);
    }),
  );
});
