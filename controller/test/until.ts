/** Asks until what is seen holds; says what was seen last when it does not come about within `longest` ms. */
export const until = async <Value>(
  look: () => Promise<Value> | Value,
  holds: (value: Value) => boolean,
  longest = 45_000,
): Promise<Value> => {
  const end = performance.now() + longest;
  for (;;) {
    const value = await look();
    if (holds(value)) return value;
    if (performance.now() > end) throw new Error(`it did not come about: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
