/** What the prober is told to measure: the document's probes with the namespaces of their machines. Pure. */
import type { HostDocument } from 'documents';
import { machineNamespace } from '../names.ts';

export interface ProbeOrder {
  readonly id: string;
  /** Namespaces, names of ip-netns(8). */
  readonly inside: string;
  readonly outside: string;
  /** Address of the outside machine; null: not measured. */
  readonly target: string | null;
  readonly dns: string | null;
  /** Datagrams a second. */
  readonly rate: number;
  /** Addresses of the inside machine: sockets that have others are opened anew. */
  readonly addresses: readonly string[];
}

/** Probes whose machines are switched off have nothing to measure. */
export const probeOrders = (document: HostDocument, prefix: string): ProbeOrder[] => {
  const running = new Map(
    document.machines
      .filter((machine) => machine.state === 'running')
      .map((machine) => [machine.id, machine] as const),
  );
  return (document.probes ?? []).flatMap(({ id, inside, outside, target, dns, rate }) => {
    const machine = running.get(inside);
    if (machine === undefined || !running.has(outside)) return [];
    return [
      {
        id,
        inside: machineNamespace(prefix, inside),
        outside: machineNamespace(prefix, outside),
        target,
        dns,
        rate,
        addresses: machine.addresses ?? [],
      },
    ];
  });
};
