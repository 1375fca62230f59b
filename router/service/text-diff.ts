const lines = (text: string | null): string[] => {
  if (text === null || text === '') return [];
  return text.replace(/\n$/, '').split('\n');
};

/** How often each line stands in `text`. */
const counts = (text: readonly string[]): Map<string, number> => {
  const result = new Map<string, number>();
  for (const line of text) result.set(line, (result.get(line) ?? 0) + 1);
  return result;
};

/** Lines of `from` that `other` has not (as often), in order. */
const missing = (from: readonly string[], other: readonly string[]): string[] => {
  const left = counts(other);
  return from.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
};

/**
 * What differs between two versions of a file, as `-` and `+` lines under its name; empty when nothing does. Linear in
 * the number of lines, which is why it says nothing of lines that only changed places beyond that they did.
 */
export const textDiff = (name: string, before: string | null, after: string | null): string => {
  if (before === after) return '';
  const [old, now] = [lines(before), lines(after)];
  const [gone, come] = [missing(old, now), missing(now, old)];
  const body = [...gone.map((line) => `-${line}`), ...come.map((line) => `+${line}`)];
  if (body.length === 0) body.push(' (the same lines in another order)');
  return `--- ${before === null ? '/dev/null' : name}\n+++ ${after === null ? '/dev/null' : name}\n${body.join('\n')}\n`;
};
