const known = new WeakMap<object, WeakMap<object, object>>();

/**
 * One identity for two things that a part reads besides its items (`Part.context`): the same as long as both are, and that
 * of the first where there is no second.
 */
export const together = (first: object, second: object | undefined): object => {
  if (second === undefined) return first;
  let seconds = known.get(first);
  if (seconds === undefined) known.set(first, (seconds = new WeakMap()));
  let both = seconds.get(second);
  if (both === undefined) seconds.set(second, (both = [first, second]));
  return both;
};
