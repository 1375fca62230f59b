import test from 'ava';
import fc from 'fast-check';
import { LiveScreen } from '../output/live-screen.ts';
import { runScreen } from '../output/run-screen.ts';
import { type Run, type RunRouter, routerTable } from '../output/run-table.ts';

const router = (index: number, given: Partial<RunRouter> = {}): RunRouter => ({
  router: `rtr-${String(index).padStart(12, '0')}`,
  networkName: `net-${index}`,
  host: 'host-4k2v9x0d1m7q',
  wave: 1,
  needs: 'patch',
  because: '',
  state: 'waiting',
  lost: null,
  sent: null,
  p99Before: null,
  p99After: null,
  reasons: [],
  problem: null,
  ...given,
});

const run = (routers: readonly RunRouter[]): Run => ({
  id: 'run-4k2v9x0d1m7q',
  name: null,
  status: 'running',
  bundle: null,
  progress: { total: routers.length, done: 0, failed: 0, upToDate: 0, perMinute: null, secondsLeft: 90 },
  routers,
  problem: null,
});

const many = (state: string, count: number, from: number): RunRouter[] =>
  Array.from({ length: count }, (_, index) => router(from + index, { state }));

const WHY =
  'datagrams: 41 of 2500 were lost, 0 before; connections: 3 of 250 failed, none before; names: none';

test('what fits is the whole table, in order', (t) => {
  const routers = [router(1, { state: 'passed' }), router(2, { state: 'working' }), router(3)];
  t.deepEqual(runScreen(run(routers), { columns: 200, rows: 24 }), [
    ...routerTable(routers).split('\n'),
    'run-4k2v9x0d1m7q running: 0 of 3 done, about 90 s left',
  ]);
});

test('on a short terminal those at work come first, then what went wrong, and the rest is counted', (t) => {
  const routers = [
    ...many('passed', 40, 0),
    router(40, { state: 'failed' }),
    ...many('working', 2, 41),
    router(43, { state: 'soaking' }),
    ...many('waiting', 18, 44),
  ];
  const lines = runScreen(run(routers), { columns: 200, rows: 9 });
  t.is(lines.length, 8);
  t.deepEqual(
    lines.slice(1, 6).map((line) => [line.split(' ')[0], line.split(/ {2,}/)[6 + 1]]),
    [
      ['rtr-000000000041', 'working'],
      ['rtr-000000000042', 'working'],
      ['rtr-000000000043', 'soaking'],
      ['rtr-000000000040', 'failed'],
      ['rtr-000000000044', 'waiting'],
    ],
  );
  t.is(lines[6], '17 more are waiting, 40 passed');
  t.regex(lines[7] ?? '', /^run-4k2v9x0d1m7q running/);
  t.deepEqual(
    runScreen(run(routers), { columns: 200, rows: 3 }).map((line) => line.split(':')[0]),
    ['2 are at work, 1 is being judged, 1 failed, 18 are waiting, 40 passed', 'run-4k2v9x0d1m7q running'],
  );
});

test('on a narrow terminal the state and the reason stay, and lines are cut', (t) => {
  const wide = { state: 'rolled-back', lost: 44, sent: 2750, p99Before: 300, p99After: 900, reasons: [WHY] };
  const [heading, line] = runScreen(run([router(1, wide)]), { columns: 80, rows: 24 });
  t.regex(heading ?? '', /^ROUTER .*STATE +WHY$/);
  t.regex(line ?? '', /^rtr-000000000001 .* rolled-back {2}datagrams: 41 of 2500 .*…$/);
  t.is(line?.length, 80);
  t.is(
    runScreen(run([router(1, wide)]), { columns: 300, rows: 24 })[1],
    routerTable([router(1, wide)]).split('\n')[1],
  );
});

/** A terminal as far as it matters here: it wraps, it scrolls, and it goes no further back than its first row. */
const terminal = (columns: number, rows: number) => {
  const scrolled: string[] = [];
  let screen: string[] = [''];
  let row = 0;
  const down = (): void => {
    row += 1;
    if (row === rows) {
      scrolled.push(screen.shift() ?? '');
      row -= 1;
    }
    screen[row] ??= '';
  };
  return {
    columns,
    rows,
    write: (text: string): void => {
      // oxlint-disable-next-line no-control-regex
      for (const [part, back] of text.matchAll(/\u001b\[(\d+)F|\u001b\[J|./gsu)) {
        if (back !== undefined) row = Math.max(0, row - Number(back));
        else if (part === '\u001b[J') screen = [...screen.slice(0, row), ''];
        else if (part === '\n') down();
        else {
          if ((screen[row]?.length ?? 0) === columns) down();
          screen[row] += part;
        }
      }
    },
    text: (): string[] => [...scrolled, ...screen].slice(0, -1),
  };
};

const size = fc.record({ columns: fc.integer({ min: 1, max: 200 }), rows: fc.integer({ min: 2, max: 40 }) });
const routers = fc.array(
  fc
    .record({
      state: fc.constantFrom('waiting', 'measuring', 'working', 'soaking', 'failed', 'passed', 'rolled-back'),
      reasons: fc.constantFrom([], [WHY], ['short']),
      lost: fc.constantFrom(null, 3),
    })
    .map((given) => router(1, given)),
  { maxLength: 60 },
);

test('whatever is shown on whatever terminal, it is drawn over and nothing of it is left', (t) => {
  fc.assert(
    fc.property(size, fc.array(routers, { minLength: 1, maxLength: 5 }), (given, looks) => {
      const shown = terminal(given.columns, given.rows);
      const screen = new LiveScreen(shown);
      let lines: string[] = [];
      for (const look of looks)
        screen.show((known) => {
          lines = runScreen(run(look), known);
          return lines;
        });
      t.true(lines.every((line) => line.length <= given.columns));
      t.deepEqual(shown.text(), lines);
      screen.clear();
      t.deepEqual(shown.text(), []);
    }),
    { numRuns: 300 },
  );
});

test('control: the same with lines that are not fitted leaves a mess', (t) => {
  const shown = terminal(80, 24);
  const screen = new LiveScreen(shown);
  const lines = routerTable(many('failed', 30, 0).map((row) => ({ ...row, reasons: [WHY] }))).split('\n');
  for (let look = 0; look < 2; look += 1) screen.show(() => lines);
  t.true(shown.text().length > lines.length);
});

test('other text stays, and what is shown next comes below it', (t) => {
  const shown = terminal(80, 24);
  const screen = new LiveScreen(shown);
  screen.show(() => ['one']);
  screen.leave();
  shown.write('away\n');
  screen.show(() => ['two', 'three']);
  screen.show(() => ['four']);
  t.deepEqual(shown.text(), ['one', 'away', 'four']);
});
