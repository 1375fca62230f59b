/** The kernel's way to write sets of ports: `100,200-300` (proc_do_large_bitmap). */

/** What the kernel reads in one go, characters; it would take the rest for another list. */
const LONGEST = 4000;

/** Ports of a list. */
export const parsePorts = (text: string): number[] =>
  text
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_none, index) => first + index);
    });

const joined = (sorted: readonly number[], gap: number): string => {
  const ranges: [number, number][] = [];
  for (const port of sorted) {
    const range = ranges.at(-1);
    if (range !== undefined && port - range[1] <= gap) range[1] = port;
    else ranges.push([port, port]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
};

/** A list with all of these ports; where it would be too long it has some between them too. */
export const portsText = (ports: readonly number[]): string => {
  const sorted = [...new Set(ports)].toSorted((a, b) => a - b);
  for (let gap = 1; ; gap *= 2) {
    const text = joined(sorted, gap);
    if (text.length <= LONGEST) return text;
  }
};
