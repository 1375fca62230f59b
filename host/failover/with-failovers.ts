/** What a document means after standbys took over by themselves. Pure. */
import type { Failover, HostDocument, SegmentPort } from 'documents';

/** Two routers with one document have a port each on the same segments, called alike inside. */
export const isSameLeg = (a: SegmentPort, b: SegmentPort): boolean =>
  a.segment === b.segment && a.machineDevice === b.machineDevice;

type Pair = Pick<Failover, 'router' | 'promoted'>;

/**
 * Whether the document still has the dead router serve, beside the one that took over. Without that one there is nobody
 * who could, and the dead one is made anew.
 */
export const isInForce = (document: HostDocument, { router, promoted }: Pair): boolean =>
  document.machines.some(({ id, state }) => id === promoted && state === 'running') &&
  document.ports.some((port) => port.machine === router && port.active);

const withFailover = (document: HostDocument, { router, promoted }: Pair): HostDocument => {
  const promotedPorts = document.ports.filter((port) => port.machine === promoted);
  const successorOf = new Map(
    document.ports
      .filter((port) => port.machine === router)
      .map((port) => [port.id, promotedPorts.find((other) => isSameLeg(port, other))?.id ?? null]),
  );
  const serving = new Set(
    document.ports.flatMap((port) => (port.active ? (successorOf.get(port.id) ?? []) : [])),
  );
  return {
    ...withoutRouter(document, router),
    ports: document.ports
      .filter((port) => port.machine !== router)
      .map((port) => (serving.has(port.id) ? { ...port, active: true } : port)),
    fdb: document.fdb.flatMap((entry) => {
      const successor = successorOf.get(entry.port);
      if (successor === undefined) return [entry];
      return successor === null ? [] : [{ ...entry, port: successor }];
    }),
    ...(document.standbys === undefined
      ? {}
      : {
          // Another one that stood by for the dead one stands by for its successor.
          standbys: document.standbys
            .filter(({ standby }) => standby !== router && standby !== promoted)
            .map((one) => (one.router === router ? { ...one, router: promoted } : one)),
        }),
  };
};

/** The document with nobody in the places of a router: what is left of it goes, and who stood by for it is left passive. */
export const withoutRouter = (document: HostDocument, router: string): HostDocument => {
  const own = new Set(document.ports.filter((port) => port.machine === router).map(({ id }) => id));
  return {
    ...document,
    machines: document.machines.filter(({ id }) => id !== router),
    ports: document.ports.filter(({ id }) => !own.has(id)),
    fdb: document.fdb.filter(({ port }) => !own.has(port)),
    ...(document.links === undefined
      ? {}
      : { links: document.links.filter(({ ends }) => ends.every(({ machine }) => machine !== router)) }),
    ...(document.standbys === undefined
      ? {}
      : { standbys: document.standbys.filter((one) => one.standby !== router && one.router !== router) }),
  };
};

/** One failover after the other, as they happened: who took over may have died since. */
export interface Folded<One extends Pair> {
  /** The document as it is to be applied: without the dead routers, and with those that took over in their places. */
  readonly document: HostDocument;
  /** Those that it does not know of by itself, each with the document it was made from. */
  readonly inForce: readonly { readonly failover: One; readonly before: HostDocument }[];
}

/** What the document means by now. It is the one given when none of the failovers is in force any more. */
export const withFailovers = <One extends Pair>(
  document: HostDocument,
  failovers: readonly One[],
): Folded<One> =>
  failovers.reduce<Folded<One>>(
    (folded, failover) =>
      isInForce(folded.document, failover)
        ? {
            document: withFailover(folded.document, failover),
            inForce: [...folded.inForce, { failover, before: folded.document }],
          }
        : folded,
    { document, inForce: [] },
  );
