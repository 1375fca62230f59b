/** What of a run is shown while it is followed on a terminal. Pure. */
import { progressLine, type Run, type RunRouter, routerColumns } from './run-table.ts';
import { renderTable } from './table.ts';

/** A terminal's size, in characters. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Which routers are shown first where not all of them can be, and what is said of those that are not: of one, of several. */
const states: Readonly<Record<string, readonly [one: string, several: string]>> = {
  measuring: ['is being measured', 'are being measured'],
  working: ['is at work', 'are at work'],
  soaking: ['is being judged', 'are being judged'],
  'rolling-back': ['is being taken back', 'are being taken back'],
  failed: ['failed', 'failed'],
  'rolled-back': ['was taken back', 'were taken back'],
  waiting: ['is waiting', 'are waiting'],
  aborted: ['was aborted', 'were aborted'],
  skipped: ['was skipped', 'were skipped'],
  passed: ['passed', 'passed'],
  nothing: ['needs nothing', 'need nothing'],
};
const order = Object.keys(states);
const rank = (state: string): number => (order.includes(state) ? order.indexOf(state) : order.length);

/** Columns that go first where a terminal is narrow; the rest is what a line is for. */
const dispensable = ['host', 'needs', 'p99', 'turn', 'loss', 'network'];
/** So much of why a router failed is to be seen, in characters. */
const WHY = 24;

/** A line that is not wrapped. */
const cut = (line: string, columns: number): string => {
  const characters = [...line];
  if (characters.length <= columns) return line;
  return columns < 1 ? '' : `${characters.slice(0, columns - 1).join('')}…`;
};

/** The table without as many columns as have to go for the others to fit. */
const narrowTable = (routers: readonly RunRouter[], columns: number): string[] => {
  const wide = Math.max(
    0,
    ...routers.map(({ reasons, problem }) => (reasons[0] ?? problem?.message ?? '').length),
  );
  const why = Math.min(WHY, Math.max(wide, 'why'.length));
  let kept = routerColumns;
  for (const title of dispensable) {
    const others = renderTable(
      kept.filter((column) => column.title !== 'why').concat({ title: '', value: () => '.'.repeat(why) }),
      routers,
    );
    if (Math.max(...others.split('\n').map((line) => line.length)) <= columns) break;
    kept = kept.filter((column) => column.title !== title);
  }
  return renderTable(kept, routers).split('\n');
};

/** `17 more are waiting, 40 passed` */
const summary = (hidden: readonly RunRouter[], more: boolean): string => {
  const counts = Map.groupBy(hidden, ({ state }) => state);
  return [...counts]
    .toSorted(([one], [other]) => rank(one) - rank(other))
    .map(([state, { length }], index) => {
      const [one, several] = states[state] ?? [state, state];
      return `${length}${more && index === 0 ? ' more' : ''} ${length === 1 ? one : several}`;
    })
    .join(', ');
};

/**
 * The lines that show how far a run is: never wider than the terminal, and one fewer than it has rows, so that they can be
 * drawn over. Where not every router has a line, those at work have theirs, then those that went wrong, then those whose turn
 * comes next; the rest is counted.
 */
export const runScreen = (
  run: Pick<Run, 'id' | 'status' | 'progress' | 'routers'>,
  { columns, rows }: Size,
): string[] => {
  const height = Math.max(1, rows - 1);
  const { routers } = run;
  const fits = routers.length + 2 <= height;
  const ranked = fits ? routers : routers.toSorted((one, other) => rank(one.state) - rank(other.state));
  // Beside the heading, what is counted, and the progress.
  const shown = fits ? ranked : ranked.slice(0, Math.max(0, height - 3));
  const hidden = ranked.slice(shown.length);
  return [
    ...(shown.length === 0 ? [] : narrowTable(shown, columns)),
    ...(hidden.length === 0 ? [] : [summary(hidden, shown.length > 0)]),
    progressLine(run),
  ]
    .slice(-height)
    .map((line) => cut(line, columns));
};
