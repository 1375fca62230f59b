/** Asks until what is seen holds; `what` says in the error what did not come about within `limit` ms. A look that throws is repeated. */
export const until = async <Value>(
  what: string,
  look: () => Promise<Value>,
  holds: (value: Value) => boolean,
  limit = 60_000,
): Promise<Value> => {
  const deadline = performance.now() + limit;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const value = await look();
      last = value;
      if (holds(value)) return value;
    } catch (error) {
      last = String(error);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what} did not come about within ${limit} ms: ${JSON.stringify(last)}`);
};
