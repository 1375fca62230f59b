/**
 * `npm run bench -- NAME...`: measures ours and what it is held against in the same run. A table for people, and as the
 * last line of standard output one JSON object a bench. Exits 0 when it measured, whatever it found.
 */
import { readdirSync } from 'node:fs';
import { cpus, totalmem, release } from 'node:os';
import { parseArgs } from 'node:util';
import { renderTable } from '../cli/output/table.ts';
import type { Bench, Row } from './bench.ts';

const NOT_BENCHES = new Set(['main.ts', 'bench.ts']);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string' },
    count: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.ts') && !NOT_BENCHES.has(file))
  .map((file) => file.slice(0, -3))
  .toSorted();
const load = async (name: string): Promise<Bench> =>
  ((await import(`./${name}.ts`)) as { bench: Bench }).bench;

const number = (value: number | undefined): string =>
  value === undefined
    ? ''
    : Math.abs(value) >= 100
      ? value.toFixed(0)
      : Math.abs(value) >= 1
        ? value.toFixed(2)
        : value.toFixed(3);

const print = (rows: readonly Row[]): void => {
  console.log(
    renderTable<Row>(
      [
        { title: 'measured', value: (row) => row.name },
        { title: 'value', value: (row) => `${number(row.value)} ${row.unit}` },
        {
          title: 'against',
          value: (row) =>
            row.other === undefined ? '' : `${number(row.other)} ${row.unit} (${row.against ?? ''})`,
        },
        { title: 'ratio', value: (row) => number(row.ratio) },
        { title: 'reach', value: (row) => row.reach },
        { title: 'met', value: (row) => (row.reach === undefined ? '' : row.met ? 'yes' : 'NO') },
      ],
      rows,
    ),
  );
};

// What is repeated is counted: both words are taken.
const count = values.count ?? values.runs;
const countless = count !== undefined && !/^[1-9]\d*$/.test(count);

const chosen = positionals.includes('all') ? names : positionals;
const unknown = chosen.filter((name) => !names.includes(name));
if (values.help || chosen.length === 0 || unknown.length > 0 || countless) {
  if (countless) console.error(`${count} is no number of repetitions.`);
  if (unknown.length > 0) console.error(`There is no bench ${unknown.join(', ')}.`);
  console.error('usage: npm run bench -- NAME... | all  [--count N] [--json]\n');
  for (const name of names) console.error(`  ${name.padEnd(10)} ${(await load(name)).description}`);
  process.exitCode = values.help ? 0 : 2;
} else {
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
  for (const name of chosen) {
    const bench = await load(name);
    if (!values.json) console.log(`\n${bench.name}: ${bench.description}`);
    const rows = await bench.run({
      runs: count === undefined ? null : Number(count),
      tell: (message) => console.error(`  ${message}`),
    });
    if (!values.json) print(rows);
    console.log(JSON.stringify({ bench: bench.name, machine, rows, met: rows.every((row) => row.met) }));
  }
}
