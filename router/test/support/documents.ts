import type { RouterDocument } from 'documents';

/** A router with one guest network and three public addresses, and nothing allowed but what `parts` says. */
export const routerDocument = (parts: Partial<RouterDocument> = {}): RouterDocument => ({
  schemaVersion: 1,
  id: 'rtr-000000000001',
  generation: 1,
  hostname: 'r-1',
  legs: [
    {
      id: 'leg-guest0',
      role: 'guest',
      device: 'guest0',
      mac: '02:00:0a:01:01:01',
      mtu: 1450,
      addresses: ['10.1.1.1/24'],
      gateways: [],
    },
    {
      id: 'leg-public0',
      role: 'public',
      device: 'public0',
      mac: '02:00:c6:33:64:0a',
      mtu: 1500,
      addresses: ['198.51.100.10/24', '198.51.100.11/24', '198.51.100.12/24'],
      gateways: ['198.51.100.1'],
    },
  ],
  firewallRules: [],
  egressPolicies: [],
  egressRules: [],
  sourceNats: [
    {
      id: 'sn-1',
      leg: 'leg-guest0',
      outLeg: 'leg-public0',
      publicAddress: '198.51.100.10',
      ports: { first: 32_768, last: 60_999 },
    },
  ],
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
