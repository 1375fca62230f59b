import type { SegmentPort } from 'documents';
import { byId } from './by-id.ts';
import type { HostFacts, HostPort } from './facts.ts';
import { idTail } from './ids.ts';
import { segmentId } from './segments.ts';

/** Ports in the order they were made: the first of a guest is eth0 and stays it, whatever is added later. */
const oldestFirst = (a: HostPort, b: HostPort): number =>
  a.createdAt - b.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

/** The host's ports on segments that exist. A port of a network that is not implemented waits. */
export const planSegmentPorts = (facts: HostFacts): SegmentPort[] => {
  const networks = new Map(facts.networks.map((network) => [network.id, network]));
  const active = new Set(facts.routers.filter((router) => router.active).map(({ id }) => id));
  const counts = new Map<string, number>();
  const ports: SegmentPort[] = [];
  for (const port of [...facts.ports].sort(oldestFirst)) {
    const index = counts.get(port.machine) ?? 0;
    if (port.role === 'guest') counts.set(port.machine, index + 1);
    const network = networks.get(port.network);
    if (network === undefined || network.vni === null) continue;
    const common = { id: port.id, machine: port.machine, device: `pt${idTail(port.id)}` };
    switch (port.role) {
      case 'guest':
        ports.push({
          ...common,
          segment: segmentId(network.id),
          machineDevice: `eth${index}`,
          mac: port.mac,
          mtu: network.mtu,
          role: 'guest',
          active: true,
          security: { addresses: port.address === null ? [] : [port.address] },
        });
        break;
      case 'router-guest':
        ports.push({
          ...common,
          segment: segmentId(network.id),
          machineDevice: 'guest0',
          mac: network.gatewayMac,
          mtu: network.mtu,
          role: 'router',
          active: active.has(port.machine),
          security: null,
        });
        break;
      case 'router-public':
        ports.push({
          ...common,
          segment: segmentId(facts.zone.id),
          machineDevice: 'public0',
          mac: network.publicMac,
          mtu: facts.zone.publicMtu,
          role: 'router',
          active: active.has(port.machine),
          security: null,
        });
        break;
    }
  }
  return byId(ports);
};
