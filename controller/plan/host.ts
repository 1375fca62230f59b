import type { HostDocument } from 'documents';
import { byId } from './by-id.ts';
import type { HostFacts } from './facts.ts';
import { planFdb } from './fdb.ts';
import { planMachineLinks } from './machine-links.ts';
import { planMachines } from './machines.ts';
import { planProbes } from './probes.ts';
import { planSegmentPorts } from './segment-ports.ts';
import { planSegments } from './segments.ts';
import { planStandbys } from './standbys.ts';

/** The whole document of a host. The order of rows makes no difference. */
export const planHost = (facts: HostFacts): HostDocument => {
  const probing = planProbes(facts);
  const ports = byId([...planSegmentPorts(facts), ...probing.ports]);
  const links = planMachineLinks(facts);
  const standbys = planStandbys(facts);
  return {
    schemaVersion: 1,
    id: facts.host.id,
    generation: facts.host.generation,
    segments: planSegments(facts),
    ports,
    fdb: planFdb(ports),
    machines: byId([...planMachines(facts), ...probing.machines]),
    ...(links.length === 0 ? {} : { links }),
    ...(standbys.length === 0 ? {} : { standbys }),
    ...(probing.probes.length === 0 ? {} : { probes: [...probing.probes] }),
  };
};
