import test from 'ava';
import fc from 'fast-check';
import { Pace } from '../probes/pace.ts';
import { Samples } from '../probes/samples.ts';

test('what was sent is answered, lost or doubled, and windows that touch count everything once', (t) => {
  const step = fc.record({
    wait: fc.integer({ min: 1, max: 400 }),
    answers: fc.integer({ min: 0, max: 3 }),
    took: fc.integer({ min: 0, max: 1_300_000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 200 }), fc.nat(), (steps, cut) => {
      const samples = new Samples(10);
      let at = 1_000_000;
      for (const { wait, answers, took } of steps) {
        at += wait;
        const number = samples.send(at);
        for (let count = 0; count < answers; count += 1) samples.answer(number, took);
      }
      const middle = 1_000_000 + (cut % (at - 1_000_000 + 1));
      t.is(
        samples.settled(at + 1),
        steps.every(({ answers }) => answers > 0),
      );
      samples.judge(at);
      t.true(samples.settled(at + 1));
      const whole = samples.reading(0, at + 1);
      const isLost = ({ answers, took }: (typeof steps)[number]) => answers === 0 || took > 1_000_000;
      t.is(whole.sent, steps.length);
      t.is(whole.lost, steps.filter(isLost).length);
      t.is(
        whole.doubled,
        steps.filter((one) => !isLost(one)).reduce((sum, { answers }) => sum + answers - 1, 0),
      );
      const kept = steps.filter((one) => !isLost(one)).map(({ took }) => took);
      t.is(whole.longest, kept.length === 0 ? null : Math.max(...kept));
      const [first, second] = [samples.reading(0, middle), samples.reading(middle, at + 1)];
      t.is(first.sent + second.sent, whole.sent);
      t.is(first.lost + second.lost, whole.lost);
    }),
    { numRuns: 200 },
  );
});

test('ten minutes are kept, and what is older is no answer to what is new', (t) => {
  const samples = new Samples(1);
  for (let second = 0; second < 2000; second += 1) {
    const number = samples.send(second * 1000);
    if (second % 2 === 0) samples.answer(number, 500);
    samples.answer(number - 700, 1);
  }
  samples.judge(Infinity);
  const { sent, lost, doubled } = samples.reading(0, Infinity);
  t.true(sent >= 600 && sent <= 602, `${sent}`);
  t.true(Math.abs(lost - sent / 2) <= 1, `${lost} of ${sent}`);
  t.is(doubled, 0);
});

test('what is cut off is lost only when it had its time', (t) => {
  const samples = new Samples(10);
  samples.send(1000);
  samples.answer(samples.send(2000), 10);
  samples.send(3000);
  samples.cutOff(2500);
  const { sent, lost } = samples.reading(0, Infinity);
  t.is(sent, 2);
  t.is(lost, 1);
});

test('a pace skips what it missed and keeps its rate', (t) => {
  const pace = new Pace(50, 0, 0, 10);
  let sent = 0;
  for (let now = 0; now < 10_000; now += 10) sent += pace.due(now);
  t.is(sent, 500);
  t.is(pace.due(15_000), 1, 'five seconds late: one, not 250');
  t.is(pace.due(15_001), 0);
});
