import type { Machine, Probe, SegmentPort } from 'documents';
import { type Prefix, prefixLength } from 'ip';
import { byId } from './by-id.ts';
import type { EgressRuleFact, HostFacts } from './facts.ts';
import { derivedId, idTail } from './ids.ts';
import { segmentId } from './segments.ts';

/** A machine that measures. */
export interface ProbeFact {
  readonly id: string;
  /** The network it stands in; null: outside, in the public network of the zone. */
  readonly network: string | null;
  readonly mac: string;
  readonly address: string;
  /** Prefix and gateway of the network, or of the public range. */
  readonly prefix: string;
  readonly gateway: string;
  /** Where it sends to, for one inside: id and address of the one outside; null: nowhere that answers. */
  readonly outside: { readonly id: string; readonly address: string } | null;
  /** Name server to ask; null: none. */
  readonly dns: string | null;
  /** Datagrams a second. */
  readonly rate: number;
}

export interface PlannedProbes {
  readonly machines: readonly Machine[];
  readonly ports: readonly SegmentPort[];
  readonly probes: readonly Probe[];
}

/** Machines that measure, their ports, and what they measure. One of a network that is not implemented waits. */
export const planProbes = (facts: HostFacts): PlannedProbes => {
  const networks = new Map(facts.networks.map((network) => [network.id, network]));
  const machines: Machine[] = [];
  const ports: SegmentPort[] = [];
  const probes: Probe[] = [];
  const there = new Set((facts.probes ?? []).filter(({ network }) => network === null).map(({ id }) => id));
  for (const probe of facts.probes ?? []) {
    const network = probe.network === null ? null : networks.get(probe.network);
    if (network === undefined || (network !== null && network.vni === null)) continue;
    machines.push({
      id: probe.id,
      kind: 'probe',
      driver: 'namespace',
      hostname: probe.id,
      state: 'running',
      addresses: [`${probe.address}/${prefixLength(probe.prefix as Prefix)}`],
      gateway: probe.gateway,
    });
    ports.push({
      id: derivedId('port', probe.id),
      segment: segmentId(network?.id ?? facts.zone.id),
      machine: probe.id,
      device: `pt${idTail(probe.id)}`,
      machineDevice: 'eth0',
      mac: probe.mac,
      mtu: network?.mtu ?? facts.zone.publicMtu,
      role: 'guest',
      active: true,
      security: { addresses: [probe.address] },
    });
    if (network === null) continue;
    const outside = probe.outside !== null && there.has(probe.outside.id) ? probe.outside : null;
    probes.push({
      id: probe.id,
      inside: probe.id,
      // One that sends nowhere asks for names only.
      outside: outside?.id ?? probe.id,
      target: outside?.address ?? null,
      dns: probe.dns,
      rate: probe.rate,
    });
  }
  return { machines: byId(machines), ports: byId(ports), probes: byId(probes) };
};

/**
 * What lets a probe out of a network whose guests may not: planned for it alone, stored as nobody's rule. The same id in
 * every router of the network.
 */
export const probeExit = (probe: {
  readonly id: string;
  readonly address: string;
  readonly outside: string;
}): EgressRuleFact => ({
  id: derivedId('eg', probe.id),
  protocol: 'all',
  firstPort: null,
  lastPort: null,
  icmpType: null,
  icmpCode: null,
  sources: [`${probe.address}/32`],
  destinations: [`${probe.outside}/32`],
});
