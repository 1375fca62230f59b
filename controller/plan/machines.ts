import type { Machine } from 'documents';
import { byId } from './by-id.ts';
import type { HostFacts } from './facts.ts';

export const planMachines = (facts: HostFacts): Machine[] =>
  byId([
    ...facts.routers.map(
      ({ id, bundle, memory }): Machine => ({
        id,
        kind: 'router',
        driver: 'namespace',
        hostname: id,
        state: 'running',
        ...(bundle === undefined ? {} : { bundle }),
        ...(memory === undefined ? {} : { memory }),
      }),
    ),
    ...facts.instances.map(
      ({ id, hostname, wantedState }): Machine => ({
        id,
        kind: 'guest',
        driver: 'namespace',
        hostname,
        state: wantedState,
      }),
    ),
  ]);
