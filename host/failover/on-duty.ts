/** Which routers serve, and who stands by for each. Pure. */
import type { FdbEntry, HostDocument, SegmentPort } from 'documents';
import { isSameLeg } from './with-failovers.ts';

/** Who could take over. */
export interface Candidate {
  readonly standby: string;
  /** Its ports, one for each port of the router on duty. */
  readonly ports: readonly SegmentPort[];
}

/** A router that serves, as the death of it concerns its host. */
export interface OnDuty {
  readonly router: string;
  /** Its active ports, never none, each with the MACs whose frames it gets. */
  readonly ports: readonly { readonly port: SegmentPort; readonly macs: readonly string[] }[];
  readonly candidates: readonly Candidate[];
}

/** Reads a document for one router after the other. */
const reader = (document: HostDocument) => {
  const running = new Set(
    document.machines
      .filter(({ kind, state }) => kind === 'router' && state === 'running')
      .map(({ id }) => id),
  );
  const portsOf = Map.groupBy(document.ports, ({ machine }) => machine);
  const entriesOf: ReadonlyMap<string, readonly FdbEntry[]> = Map.groupBy(document.fdb, ({ port }) => port);
  const dutyOf = (router: string, standbys: readonly string[]): OnDuty => {
    const active = (portsOf.get(router) ?? []).filter((port) => port.active);
    return {
      router,
      ports: active.map((port) => ({
        port,
        macs: (entriesOf.get(port.id) ?? []).map(({ mac }) => mac),
      })),
      candidates: standbys.flatMap((standby): Candidate[] => {
        const own = portsOf.get(standby) ?? [];
        const ports = active.flatMap((port) => own.find((other) => isSameLeg(port, other)) ?? []);
        // One that cannot take over every leg would cut off the others.
        return running.has(standby) && ports.length === active.length ? [{ standby, ports }] : [];
      }),
    };
  };
  return { running, dutyOf };
};

/** Of one router, with one candidate: that which is named. */
export const dutyOf = (document: HostDocument, router: string, standby: string): OnDuty =>
  reader(document).dutyOf(router, [standby]);

/** All routers that are to run and get frames. */
export const routersOnDuty = (document: HostDocument): readonly OnDuty[] => {
  const { running, dutyOf: read } = reader(document);
  const standbysOf = Map.groupBy(document.standbys ?? [], ({ router }) => router);
  return [...running]
    .map((router) =>
      read(
        router,
        (standbysOf.get(router) ?? []).map(({ standby }) => standby),
      ),
    )
    .filter(({ ports }) => ports.length > 0);
};
