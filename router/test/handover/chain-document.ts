/** The document of a network whose routers follow each other. */
import type { RouterDocument } from 'documents';
import { SERVICE_PORT } from '../../../bench/traffic/traffic-map.ts';
import { routerDocument } from '../support/documents.ts';

export const GUESTS = [
  { name: 'c', address: '10.1.1.20', mac: '02:00:0a:01:01:14' },
  { name: 's', address: '10.1.1.10', mac: '02:00:0a:01:01:0a' },
  { name: 'u', address: '10.1.1.11', mac: '02:00:0a:01:01:0b' },
] as const;

export const BALANCED_PORT = 7080;
export const FORWARDED_PORT = 8001;

/** Id of a leg: every router has legs of its own. */
export const legId = (ordinal: number, device: string): string => `leg${ordinal}-${device}`;

/** Id of the router of that place in the chain. */
export const routerId = (ordinal: number): string => `rtr-${String(ordinal).padStart(12, '0')}`;

/** The network's document for the router of that place: all the same but for the ports it may use. */
export const chainDocument = (ordinal: number, parts: Partial<RouterDocument> = {}): RouterDocument => {
  const forward = (index: number) => ({
    id: `pf-${index + 1}`,
    publicAddress: '198.51.100.12',
    protocol: 'tcp' as const,
    publicPorts: { first: FORWARDED_PORT + index, last: FORWARDED_PORT + index },
    guestAddress: (GUESTS[index + 1] as (typeof GUESTS)[number]).address,
    guestPorts: { first: SERVICE_PORT, last: SERVICE_PORT },
  });
  const open = (id: string, publicAddress: string, what: object) => ({
    id,
    publicAddress,
    sources: ['0.0.0.0/0'],
    protocol: 'tcp' as const,
    ...what,
  });
  const service = { ports: { first: SERVICE_PORT, last: SERVICE_PORT } };
  const document = routerDocument({
    id: routerId(ordinal),
    egressPolicies: [{ id: 'eg-1', leg: 'leg-guest0', default: 'allow' }],
    sourceNats: [
      {
        id: 'sn-1',
        leg: 'leg-guest0',
        outLeg: 'leg-public0',
        publicAddress: '198.51.100.10',
        ports: ordinal % 2 === 0 ? { first: 10_000, last: 32_767 } : { first: 32_768, last: 60_999 },
      },
    ],
    staticNats: [{ id: 'st-1', publicAddress: '198.51.100.11', guestAddress: '10.1.1.10' }],
    portForwards: [forward(0), forward(1)],
    firewallRules: [
      open('fw-1', '198.51.100.10', { ports: { first: BALANCED_PORT, last: BALANCED_PORT } }),
      open('fw-2', '198.51.100.11', service),
      open('fw-3', '198.51.100.11', { ...service, protocol: 'udp' }),
      open('fw-4', '198.51.100.11', { protocol: 'icmp' }),
      open('fw-5', '198.51.100.12', { ports: { first: FORWARDED_PORT, last: FORWARDED_PORT + 1 } }),
    ] as RouterDocument['firewallRules'],
    loadBalancers: [
      {
        id: 'lb-1',
        publicAddress: '198.51.100.10',
        port: BALANCED_PORT,
        protocol: 'tcp',
        algorithm: 'roundrobin',
        members: GUESTS.slice(1).map(({ name, address }) => ({
          id: `mem-${name}`,
          address,
          port: SERVICE_PORT,
          draining: false,
        })),
      },
    ],
    dns: { domain: 'cloud.internal', upstreams: ['198.51.100.1'], records: [] },
    dhcpSubnets: [
      {
        id: 'sub-1',
        leg: 'leg-guest0',
        prefix: '10.1.1.0/24',
        gateway: '10.1.1.1',
        dnsServers: ['10.1.1.1'],
        domain: 'cloud.internal',
        leaseTime: 3600,
      },
    ],
    dhcpHosts: GUESTS.map(({ name, address, mac }) => ({
      id: `host-${name}`,
      leg: 'leg-guest0',
      mac,
      address,
      hostname: `guest-${name}`,
    })),
    ...parts,
  });
  // Every router has legs of its own, on devices that are called the same.
  return JSON.parse(JSON.stringify(document).replaceAll('"leg-', `"${legId(ordinal, '')}`)) as RouterDocument;
};
