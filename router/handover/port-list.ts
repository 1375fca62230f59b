/** The kernel's way to write sets of ports: `100,200-300` (proc_do_large_bitmap). */

/** Ports of a list. */
export const parsePorts = (text: string): number[] =>
  text
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_none, index) => first + index);
    });

/** A list of exactly these ports. */
export const portsText = (ports: readonly number[]): string => {
  const ranges: [number, number][] = [];
  for (const port of [...new Set(ports)].toSorted((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range !== undefined && port === range[1] + 1) range[1] = port;
    else ranges.push([port, port]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
};
