import type { HostDocument } from 'documents';
import type { HostFacts } from './facts.ts';
import { planFdb } from './fdb.ts';
import { planMachineLinks } from './machine-links.ts';
import { planMachines } from './machines.ts';
import { planSegmentPorts } from './segment-ports.ts';
import { planSegments } from './segments.ts';

/** The whole document of a host. The order of rows makes no difference. */
export const planHost = (facts: HostFacts): HostDocument => {
  const ports = planSegmentPorts(facts);
  const links = planMachineLinks(facts);
  return {
    schemaVersion: 1,
    id: facts.host.id,
    generation: facts.host.generation,
    segments: planSegments(facts),
    ports,
    fdb: planFdb(ports),
    machines: planMachines(facts),
    ...(links.length === 0 ? {} : { links }),
  };
};
