import type { Store } from '../store/store.ts';

/** Waits until an operation has ended, at most `time` ms. Returns whether it has. */
export const waitForOperation = async (
  store: Store,
  operation: string,
  time: number,
  signal?: AbortSignal,
): Promise<boolean> => {
  const ended = async (): Promise<boolean> => {
    const row = await store.db
      .selectFrom('operation')
      .select('state')
      .where('id', '=', operation)
      .executeTakeFirst();
    return row?.state !== 'running';
  };
  const deadline = performance.now() + time;
  let wake: () => void = () => {};
  let news = false;
  const stop = store.onChange(({ operations }) => {
    if (!operations.includes(operation)) return;
    news = true;
    wake();
  });
  const abort = () => wake();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    for (;;) {
      news = false;
      if (await ended()) return true;
      const left = deadline - performance.now();
      if (left <= 0 || signal?.aborted === true) return false;
      if (news) continue;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        wake = resolve;
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
    }
  } finally {
    stop();
    signal?.removeEventListener('abort', abort);
  }
};
