import type { RouterDocument } from '../src/index.ts';

/** A small complete router document: one guest network, one public address, one of everything. */
export const exampleRouterDocument: RouterDocument = {
  schemaVersion: 1,
  id: 'rtr-000000000001',
  generation: 7,
  hostname: 'r-000000000001',
  legs: [
    {
      id: 'port-00000000000g',
      role: 'guest',
      device: 'guest0',
      mac: '02:00:0a:01:01:01',
      mtu: 1450,
      addresses: ['10.1.1.1/24'],
      gateways: [],
    },
    {
      id: 'port-00000000000p',
      role: 'public',
      device: 'public0',
      mac: '02:00:c6:33:64:0a',
      mtu: 1500,
      addresses: ['198.51.100.10/24', '198.51.100.11/24'],
      gateways: ['198.51.100.1'],
    },
  ],
  firewallRules: [
    {
      id: 'fw-000000000001',
      publicAddress: '198.51.100.10',
      protocol: 'tcp',
      ports: { first: 80, last: 80 },
      sources: ['0.0.0.0/0'],
    },
  ],
  egressPolicies: [{ id: 'egp-00000000000g', leg: 'port-00000000000g', default: 'deny' }],
  egressRules: [
    {
      id: 'eg-000000000001',
      leg: 'port-00000000000g',
      protocol: 'all',
      sources: ['10.1.1.0/24'],
      destinations: ['0.0.0.0/0'],
    },
  ],
  sourceNats: [
    {
      id: 'snt-00000000000g',
      leg: 'port-00000000000g',
      outLeg: 'port-00000000000p',
      publicAddress: '198.51.100.10',
      ports: { first: 10000, last: 32767 },
    },
  ],
  staticNats: [{ id: 'sn-000000000001', publicAddress: '198.51.100.11', guestAddress: '10.1.1.12' }],
  portForwards: [
    {
      id: 'pf-000000000001',
      publicAddress: '198.51.100.10',
      protocol: 'tcp',
      publicPorts: { first: 80, last: 80 },
      guestAddress: '10.1.1.11',
      guestPorts: { first: 8080, last: 8080 },
    },
  ],
  loadBalancers: [
    {
      id: 'lb-000000000001',
      publicAddress: '198.51.100.10',
      port: 443,
      protocol: 'tcp',
      algorithm: 'roundrobin',
      members: [{ id: 'mem-000000000001', address: '10.1.1.11', port: 443, draining: false }],
    },
  ],
  dhcpSubnets: [
    {
      id: 'dhs-00000000000g',
      leg: 'port-00000000000g',
      prefix: '10.1.1.0/24',
      gateway: '10.1.1.1',
      dnsServers: ['10.1.1.1'],
      domain: 'tenant.example',
      leaseTime: 0,
    },
  ],
  dhcpHosts: [
    {
      id: 'port-000000000001',
      leg: 'port-00000000000g',
      mac: '02:00:0a:01:01:0b',
      address: '10.1.1.11',
      hostname: 'web-1',
    },
  ],
  dns: {
    domain: 'tenant.example',
    upstreams: ['198.51.100.1'],
    records: [{ id: 'rec-00000000000g', name: 'data-server.tenant.example', address: '10.1.1.1' }],
  },
  metadataGuests: [
    {
      id: 'port-000000000001',
      leg: 'port-00000000000g',
      address: '10.1.1.11',
      instance: 'ins-000000000001',
      hostname: 'web-1',
      userData: 'aGVsbG8=',
      publicKeys: [],
      metaData: {},
    },
  ],
  routes: [],
};
