import test from 'ava';
import type { HealthCheck, Measured, ProbeReading } from 'documents';
import fc from 'fast-check';
import {
  type Candidate,
  type Limits,
  mayBegin,
  planOrder,
  playThrough,
  type Queued,
} from '../../model/upgrade-plan.ts';
import {
  isBlind,
  judge as judgeOf,
  type Measuring,
  type Readings,
  type VerdictLimits,
} from '../../model/upgrade-verdict.ts';

const limitsOf = fc.record({
  canaries: fc.integer({ min: 1, max: 4 }),
  batch: fc.integer({ min: 1, max: 6 }),
  perHost: fc.integer({ min: 1, max: 3 }),
  perNetwork: fc.integer({ min: 1, max: 3 }),
});

/** Networks with an active router and perhaps its standby, over three hosts in two zones. */
const candidatesOf = fc
  .array(
    fc.record({
      host: fc.integer({ min: 0, max: 2 }),
      redundant: fc.boolean(),
      needs: fc.constantFrom('patch' as const, 'replace' as const, 'nothing' as const),
      standbyNeeds: fc.constantFrom('patch' as const, 'nothing' as const),
    }),
    { maxLength: 25 },
  )
  .map((networks): Candidate[] =>
    networks.flatMap(({ host, redundant, needs, standbyNeeds }, index) => {
      const common = { network: `net-${index}`, host: `host-${host}`, zone: `zone-${host % 2}` };
      return [
        { ...common, router: `rtr-a${index}`, role: 'active' as const, needs },
        ...(redundant
          ? [{ ...common, router: `rtr-s${index}`, role: 'standby' as const, needs: standbyNeeds }]
          : []),
      ];
    }),
  );

const queueOf = (candidates: readonly Candidate[], limits: Limits): Queued[] =>
  planOrder(candidates, limits).flatMap(({ candidate, position, wave }) =>
    wave === null
      ? []
      : [
          {
            router: candidate.router,
            network: candidate.network,
            host: candidate.host,
            position,
            wave,
            state: 'waiting' as const,
            pair:
              candidates.filter(({ network }) => network === candidate.network).length > 1
                ? candidate.network
                : null,
          },
        ],
  );

test('every router selected stands in the order once, canaries first, the rest in batches', (t) => {
  fc.assert(
    fc.property(candidatesOf, limitsOf, (candidates, limits) => {
      const places = planOrder(candidates, limits);
      t.deepEqual(
        places.map(({ candidate }) => candidate.router).sort(),
        candidates.map(({ router }) => router).sort(),
      );
      t.deepEqual(
        places.map(({ position }) => position),
        places.map((_, index) => index),
      );
      const work = places.filter(({ wave }) => wave !== null);
      t.deepEqual(
        work.map(({ wave }) => wave),
        work.map(({ wave }) => wave).toSorted((a, b) => (a ?? 0) - (b ?? 0)),
      );
      for (const { candidate, wave } of places) t.is(wave === null, candidate.needs === 'nothing');
      const canaries = work.filter(({ wave }) => wave === 0).map(({ candidate }) => candidate);
      const serving = work.filter(({ candidate }) => candidate.role === 'active').length;
      t.is(canaries.length, Math.min(limits.canaries, serving === 0 ? work.length : serving));
      if (serving > 0) t.true(canaries.every(({ role }) => role === 'active'));
      for (const size of Map.groupBy(
        work.filter(({ wave }) => wave !== 0),
        ({ wave }) => wave,
      ).values())
        t.true(size.length <= limits.batch);
      // Spread: no host has a second canary while another that could has none.
      const hosts = new Set(
        work
          .filter(({ candidate }) => serving === 0 || candidate.role === 'active')
          .map(({ candidate }) => candidate.host),
      );
      t.true(
        new Set(canaries.map(({ host }) => host)).size >=
          Math.min(canaries.length, hosts.size === 3 ? 2 : hosts.size),
      );
      // The order does not hang on the order of rows.
      t.deepEqual(planOrder(candidates.toReversed(), limits), places);
    }),
  );
});

test('no limit is exceeded at any moment of any execution, and everything is done once', (t) => {
  fc.assert(
    fc.property(
      candidatesOf,
      limitsOf,
      fc.array(fc.nat(), { minLength: 1, maxLength: 30 }),
      (candidates, limits, draws) => {
        let queue = queueOf(candidates, limits);
        const begun: string[] = [];
        let turn = 0;
        for (;;) {
          const next = mayBegin(queue, limits);
          begun.push(...next.map(({ router }) => router));
          const names = new Set(next.map(({ router }) => router));
          queue = queue.map((entry) =>
            names.has(entry.router) ? { ...entry, state: 'open' as const } : entry,
          );
          const open = queue.filter(({ state }) => state === 'open');
          if (open.length === 0) break;
          const waves = new Set(open.map(({ wave }) => wave));
          t.is(waves.size, 1);
          const wave = open[0]?.wave ?? 0;
          // Nothing of a later wave began before all of the earlier ones ended.
          t.true(queue.every((entry) => entry.wave >= wave || entry.state === 'ended'));
          t.true(open.length <= (wave === 0 ? limits.canaries : limits.batch));
          for (const group of Map.groupBy(open, ({ host }) => host).values())
            t.true(group.length <= limits.perHost);
          for (const group of Map.groupBy(open, ({ network }) => network).values()) {
            t.true(group.length <= limits.perNetwork);
            if (group[0]?.pair !== null) t.is(group.length, 1, 'a redundant pair at once');
          }
          // Any one of those at work ends next.
          const ended = open[(draws[turn % draws.length] ?? 0) % open.length]?.router;
          turn += 1;
          queue = queue.map((entry) =>
            entry.router === ended ? { ...entry, state: 'ended' as const } : entry,
          );
        }
        t.deepEqual(begun.toSorted(), queue.map(({ router }) => router).toSorted());
        t.true(queue.every(({ state }) => state === 'ended'));
      },
    ),
  );
});

test('the estimate is what playing the order through takes', (t) => {
  const limits: Limits = { canaries: 1, batch: 10, perHost: 4, perNetwork: 1 };
  const candidates = Array.from(
    { length: 21 },
    (_, index): Candidate => ({
      router: `rtr-${String(index).padStart(2, '0')}`,
      network: `net-${index}`,
      host: 'host-0',
      zone: 'zone-0',
      role: 'active',
      needs: 'patch',
    }),
  );
  const queue = queueOf(candidates, limits);
  // The canary; then twice 4 + 4 + 2.
  t.is(
    playThrough(queue, limits, () => 10),
    10 + 30 + 30,
  );
  t.is(
    playThrough(
      queue.map((entry) => ({ ...entry, state: 'ended' as const })),
      limits,
      () => 10,
    ),
    0,
  );
  t.throws(() => playThrough(queue, { ...limits, perHost: 0 }, () => 10), { instanceOf: RangeError });
});

const measured = (values: Partial<Measured> = {}): Measured => ({
  sent: 100,
  lost: 0,
  doubled: 0,
  p50: 200,
  p99: 1000,
  longest: 1500,
  ...values,
});
const reading = (values: Partial<ProbeReading> = {}): ProbeReading => ({
  datagrams: measured(),
  connections: measured(),
  names: measured(),
  ...values,
});
const well: HealthCheck[] = [{ name: 'dnsmasq', status: 'pass', message: '', checkedAt: 1 }];
const strict = { loss: 0, latencyFactor: 3 };
/** As long as it takes to send what stands in the readings above. */
const full = { before: 2000, during: 2000, after: 2000, rate: 50 };
const judge = (
  readings: Readings,
  health: readonly HealthCheck[] | null,
  limits: VerdictLimits,
  measuring: Measuring = full,
) => judgeOf(readings, health, limits, measuring);

test('a router is judged by everything measured, and by nothing that could not be', (t) => {
  const same = { before: reading(), during: reading(), after: reading() };
  t.deepEqual(judge(same, well, strict), { ok: true, reasons: [], notMeasured: [] });
  const oneLost = judge({ ...same, during: reading({ datagrams: measured({ lost: 1 }) }) }, well, strict);
  t.regex(oneLost.reasons.join(), /^1 of 200 datagrams were lost \(0\.5 %, 0 % allowed\)$/);
  t.true(
    judge({ ...same, during: reading({ datagrams: measured({ lost: 1 }) }) }, well, {
      ...strict,
      loss: 0.005,
    }).ok,
  );
  t.regex(
    judge({ ...same, after: reading({ connections: measured({ lost: 3 }) }) }, well, strict).reasons.join(),
    /3 of 200 new connections were lost/,
  );
  t.regex(
    judge({ ...same, during: reading({ names: measured({ lost: 100 }) }) }, well, strict).reasons.join(),
    /100 of 200 name queries/,
  );
  t.regex(
    judge({ ...same, during: reading({ datagrams: measured({ doubled: 2 }) }) }, well, strict).reasons.join(),
    /answered twice/,
  );
  t.true(
    judge({ ...same, after: reading({ datagrams: measured({ p99: 8000 }) }) }, well, strict).ok,
    '3 x 1 ms + 5 ms',
  );
  t.regex(
    judge({ ...same, after: reading({ datagrams: measured({ p99: 8001 }) }) }, well, strict).reasons.join(),
    /8001 µs/,
  );
  t.true(
    judge({ ...same, during: reading({ datagrams: measured({ p99: 90_000 }) }) }, well, strict).ok,
    'slow only meanwhile',
  );
  t.regex(
    judge(
      same,
      [{ name: 'dnsmasq', status: 'fail', message: 'it is dead', checkedAt: 1 }],
      strict,
    ).reasons.join(),
    /dnsmasq: it is dead/,
  );
  t.regex(judge(same, null, strict).reasons.join(), /do not answer/);
});

test('what was lost before is not held against it; what cannot be seen afterwards is', (t) => {
  const lossy = reading({ datagrams: measured({ lost: 2 }) });
  t.true(judge({ before: lossy, during: lossy, after: reading() }, well, strict).ok);
  const closed = reading({ datagrams: measured({ lost: 100, p50: null, p99: null }) });
  const verdict = judge({ before: closed, during: closed, after: closed }, well, strict);
  t.true(verdict.ok);
  t.regex(verdict.notMeasured.join(), /100 of 100 datagrams were lost before/);
  const unseen = judge({ before: reading(), during: null, after: null }, well, strict);
  t.is(unseen.reasons.length, 3);
  t.regex(
    judge({ before: null, during: null, after: null }, well, strict).notMeasured.join(),
    /no measurement of before/,
  );
});

test('what shows less than half of a time is no measurement of it', (t) => {
  const same = { before: reading(), during: reading(), after: reading() };
  const only = (sent: number) => reading({ datagrams: measured({ sent }) });
  t.true(judge({ ...same, during: only(50), after: only(50) }, well, strict).ok);
  for (const when of ['during', 'after'] as const) {
    const verdict = judge({ ...same, [when]: only(49) }, well, strict);
    t.false(verdict.ok);
    t.true(isBlind(verdict));
    t.regex(
      verdict.notMeasured.join(),
      new RegExp(`^only 49 of about 100 datagrams were sent ${when === 'during' ? 'while' : 'after'} it was`),
    );
    t.deepEqual(verdict.reasons, verdict.notMeasured);
  }
  // How often the others are sent is known from before.
  const names = (sent: number) => reading({ names: measured({ sent }) });
  t.true(judge({ before: names(10), during: names(10), after: names(5) }, well, strict).ok);
  t.true(isBlind(judge({ before: names(10), during: names(4), after: names(10) }, well, strict)));
  // So few that none of them might be due in so short a time.
  const short = { ...full, during: 50 };
  t.true(judge({ ...same, during: only(0) }, well, strict, short).ok);
  const nothing = judge({ ...same, during: only(0), after: only(0) }, well, strict, { ...short, after: 50 });
  t.true(isBlind(nothing));
  t.regex(nothing.reasons.join(), /no datagrams were sent/);
  // What was never to be measured is not missed.
  const none = reading({ datagrams: measured({ sent: 0, p50: null, p99: null }) });
  t.true(judge({ before: none, during: none, after: none }, well, strict).ok);
  // Worse and not seen is worse.
  t.false(isBlind(judge({ ...same, during: only(3) }, null, strict)));
});
