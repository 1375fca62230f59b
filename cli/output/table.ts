/** A column of a table: its heading and what stands in it. */
export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => unknown;
}

const cell = (value: unknown): string => {
  if (value === null || value === undefined || value === '') return '-';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cell).join(', ');
  if (typeof value === 'object') return JSON.stringify(value);
  // Names are the tenant's text: nothing in them may steer the terminal.
  return String(value).replaceAll(/\p{Cc}/gu, '?');
};

/** Rows as aligned columns with a heading, for people. */
export const renderTable = <Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string => {
  const lines = [
    columns.map(({ title }) => title.toUpperCase()),
    ...rows.map((row) => columns.map(({ value }) => cell(value(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((text, index) => (index === line.length - 1 ? text : text.padEnd(widths[index] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};

/** One thing as `field: value` lines, for people. */
export const renderFields = (fields: Readonly<Record<string, unknown>>): string => {
  const names = Object.keys(fields);
  const width = Math.max(0, ...names.map((name) => name.length)) + 1;
  return names
    .map((name) => {
      const value = fields[name];
      if (name === 'conditions' && Array.isArray(value))
        return `${'conditions:'.padEnd(width)} ${conditionLines(value, width)}`;
      return `${`${name}:`.padEnd(width)} ${cell(value)}`;
    })
    .join('\n');
};

const conditionLines = (
  conditions: readonly { type: string; status: string; reason: string; message: string }[],
  width: number,
): string =>
  conditions.length === 0
    ? '-'
    : conditions
        .map(({ type, status, reason, message }) => `${type}=${status} (${reason}) ${cell(message)}`)
        .join(`\n${' '.repeat(width + 1)}`);
