/** Which program in which namespace does what, for a load between the places of some maps. */
import type { JobSpec } from './jobs/job.ts';
import type { Load } from './load.ts';
import type { ProcessReport } from './report.ts';
import { MORE_SERVICE_PORTS, SERVICE_PORT, SINK_PORT, type TrafficMap } from './traffic-map.ts';

export interface PlannedWorker {
  readonly namespace: string;
  readonly role: ProcessReport['role'];
  readonly jobs: readonly JobSpec[];
}

const FLOW_INTERVAL = 50;
const CONNECTION_LIFE = 300;
const WAYS = 3;

/** What leaves the guest `client`. */
const outward = (map: TrafficMap, load: Load): JobSpec[] => {
  const { label } = map;
  const service = { address: map.internet.address, port: SERVICE_PORT };
  const jobs: JobSpec[] = [];
  for (const protocol of ['icmp', 'udp'] as const) {
    const wanted = load[protocol];
    if (wanted !== undefined && (wanted.directions ?? ['out']).includes('out'))
      jobs.push({ kind: 'probe', label, protocol, direction: 'out', to: service, rate: wanted.rate });
  }
  const count = load.flows?.sourceNat ?? 0;
  if (count > 0)
    jobs.push({
      kind: 'flows',
      label,
      way: 'source-nat',
      to: [service],
      count,
      interval: load.flows?.intervalMs ?? FLOW_INTERVAL,
    });
  if (load.connections !== undefined)
    jobs.push({
      kind: 'connections',
      label,
      way: 'source-nat',
      to: [SERVICE_PORT, ...MORE_SERVICE_PORTS].map((port) => ({ address: map.internet.address, port })),
      rate: load.connections.rate / WAYS,
      life: load.connections.lifeMs ?? CONNECTION_LIFE,
    });
  if (load.bulk !== undefined)
    jobs.push({
      kind: 'bulk',
      label,
      to: { address: map.internet.address, port: SINK_PORT },
      mbit: load.bulk.mbit,
    });
  if (load.dns !== undefined)
    jobs.push({
      kind: 'dns',
      label,
      resolver: map.router,
      rate: load.dns.rate,
      names: map.names,
      outside: map.outside,
    });
  if (load.dhcp !== undefined)
    jobs.push({
      kind: 'dhcp',
      label,
      server: map.router,
      address: map.client.address,
      rate: load.dhcp.rate,
    });
  return jobs;
};

/** What comes from the internet. */
const inward = (map: TrafficMap, load: Load): JobSpec[] => {
  const { label } = map;
  const guest = { address: map.staticNat, port: SERVICE_PORT };
  const jobs: JobSpec[] = [];
  for (const protocol of ['icmp', 'udp'] as const) {
    const wanted = load[protocol];
    if (wanted !== undefined && (wanted.directions ?? ['in']).includes('in'))
      jobs.push({ kind: 'probe', label, protocol, direction: 'in', to: guest, rate: wanted.rate });
  }
  const ways = [
    ['port-forward', map.portForwards, load.flows?.portForward],
    ['static-nat', [guest], load.flows?.staticNat],
    ['load-balancer', [map.loadBalancer], load.flows?.loadBalancer],
  ] as const;
  for (const [way, to, count = 0] of ways)
    if (count > 0)
      jobs.push({
        kind: 'flows',
        label,
        way,
        to,
        count,
        interval: load.flows?.intervalMs ?? FLOW_INTERVAL,
      });
  if (load.connections !== undefined)
    for (const [way, to] of [
      ['port-forward', map.portForwards],
      ['load-balancer', [map.loadBalancer]],
    ] as const)
      jobs.push({
        kind: 'connections',
        label,
        way,
        to,
        rate: load.connections.rate / WAYS,
        life: load.connections.lifeMs ?? CONNECTION_LIFE,
      });
  return jobs;
};

/** One client and one server a namespace at most; none where they have nothing to do. Pure. */
export const planWorkers = (maps: readonly TrafficMap[], load: Load): readonly PlannedWorker[] => {
  const clients = new Map<string, JobSpec[]>();
  const servers = new Map<string, JobSpec>();
  for (const map of maps) {
    for (const [namespace, jobs] of [
      [map.client.namespace, outward(map, load)],
      [map.internet.namespace, inward(map, load)],
    ] as const) {
      if (jobs.length === 0) continue;
      clients.set(namespace, [...(clients.get(namespace) ?? []), ...jobs]);
      // Kernels answer ICMP, routers DNS and DHCP.
      const needs = jobs.filter(
        (job) =>
          !(job.kind === 'dns' || job.kind === 'dhcp' || (job.kind === 'probe' && job.protocol === 'icmp')),
      );
      if (needs.length === 0) continue;
      const serving =
        namespace === map.internet.namespace
          ? map.servers.map((server) => [server, '0.0.0.0'] as const)
          : [[map.internet.namespace, map.internet.address] as const];
      for (const [server, address] of serving)
        servers.set(server, {
          kind: 'serve',
          address,
          port: SERVICE_PORT,
          morePorts: MORE_SERVICE_PORTS,
          sinkPort: SINK_PORT,
        });
    }
  }
  return [
    ...[...servers].map(([namespace, job]) => ({ namespace, role: 'server' as const, jobs: [job] })),
    ...[...clients].map(([namespace, jobs]) => ({ namespace, role: 'client' as const, jobs })),
  ];
};
