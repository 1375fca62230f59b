import type { LoadBalancer, RouterDocument } from 'documents';

/** A router with one guest network and one public address, to be extended by each test. */
export const document = (parts: Partial<RouterDocument> = {}): RouterDocument => ({
  schemaVersion: 1,
  id: 'rtr-test00000001',
  generation: 1,
  hostname: 'router',
  legs: [
    {
      id: 'leg-guest0',
      role: 'guest',
      device: 'guest0',
      mac: '02:00:00:00:01:01',
      mtu: 1450,
      addresses: ['10.1.1.1/24'],
      gateways: [],
    },
    {
      id: 'leg-public0',
      role: 'public',
      device: 'public0',
      mac: '02:00:00:00:02:01',
      mtu: 1500,
      addresses: ['203.0.113.10/24', '203.0.113.11/24'],
      gateways: ['203.0.113.1'],
    },
  ],
  firewallRules: [],
  egressPolicies: [],
  egressRules: [],
  sourceNats: [],
  staticNats: [],
  portForwards: [],
  loadBalancers: [],
  dhcpSubnets: [],
  dhcpHosts: [],
  dns: { domain: 'cloud.internal', upstreams: [], records: [] },
  metadataGuests: [],
  routes: [],
  ...parts,
});

export const balancer = (parts: Partial<LoadBalancer> = {}): LoadBalancer => ({
  id: 'lb-000000000001',
  publicAddress: '203.0.113.10',
  port: 80,
  protocol: 'tcp',
  algorithm: 'roundrobin',
  members: [
    { id: 'mem-00000000000a', address: '10.1.1.11', port: 8000, draining: false },
    { id: 'mem-00000000000b', address: '10.1.1.12', port: 8000, draining: false },
  ],
  ...parts,
});
