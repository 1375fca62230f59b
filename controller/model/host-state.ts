export type HostState = 'up' | 'down' | 'unknown';

/** An agent reports at least every 30 s (docs/contracts.md); two misses and a half are a loss. */
export const HOST_SILENCE = 75_000;

/** What can be said of a host from when it was last heard of, ms since the epoch. */
export const hostState = (lastSeenAt: number | null, now: number): HostState => {
  if (lastSeenAt === null) return 'unknown';
  return now - lastSeenAt <= HOST_SILENCE ? 'up' : 'down';
};

/** The least loaded host, the first by id among equals; null when there is none. */
export const leastLoaded = <Host extends { readonly id: string; readonly load: number }>(
  hosts: readonly Host[],
): Host | null =>
  hosts.reduce<Host | null>(
    (best, host) =>
      best === null || host.load < best.load || (host.load === best.load && host.id < best.id) ? host : best,
    null,
  );
