import type { Problem } from './problem.ts';

/** Problems of a keyed collection: ids twice, or not in ascending order (by code unit). */
export const orderingProblems = (pointer: string, items: readonly { readonly id: string }[]): Problem[] => {
  const problems: Problem[] = [];
  for (let index = 1; index < items.length; index += 1) {
    const before = items[index - 1]?.id as string;
    const id = items[index]?.id as string;
    if (before < id) continue;
    problems.push({
      pointer: `${pointer}/${index}/id`,
      code: before === id ? 'duplicate-id' : 'not-ordered',
      message: before === id ? `The id ${id} stands here twice` : `The id ${id} stands behind ${before}`,
      hint: 'List the items of a collection once each, in ascending order of their ids.',
    });
  }
  return problems;
};
