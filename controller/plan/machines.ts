import type { Machine } from 'documents';
import { byId } from './by-id.ts';
import type { HostFacts } from './facts.ts';

export const planMachines = (facts: HostFacts): Machine[] =>
  byId([
    ...facts.routers.map(
      ({ id }): Machine => ({ id, kind: 'router', driver: 'namespace', hostname: id, state: 'running' }),
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
