import type { SourceNat } from 'documents';
import { arrivalDevices } from '../handover/arrival-devices.ts';
import { type Chain, type Fragment, part, type SetDeclaration } from '../ruleset/fragment.ts';
import { together } from '../ruleset/together.ts';
import type { SourceNatDocument } from './schema.ts';

const sets: readonly SetDeclaration[] = [
  { name: 'source_nats', kind: 'map', type: 'ifname . ifname : verdict' },
  { name: 'source_nat_addresses', kind: 'map', type: 'ifname . ifname : ipv4_addr' },
];

const chainName = ({ ports }: SourceNat): string => `source_nat_${ports.first}_${ports.last}`;

/** One chain for each range of ports in use, which is one: a map cannot hold an address together with a range. */
const portChain = (nat: SourceNat): Chain => {
  const address = 'snat ip to iifname . oifname map @source_nat_addresses';
  const ports = `${nat.ports.first}-${nat.ports.last}`;
  return {
    name: chainName(nat),
    rules: [
      `meta l4proto { tcp, udp } ${address}:${ports}`,
      // For ICMP the range is of query identifiers.
      `meta l4proto icmp ${address}:${ports}`,
      address,
    ],
  };
};

/** The source NAT part of the table. */
export const renderSourceNat = (document: SourceNatDocument): Fragment => {
  const devices = new Map(document.legs.map((leg) => [leg.id, leg.device]));
  const arrivals = new Map(document.legs.map((leg) => [leg.id, arrivalDevices(leg, document)]));
  const portChains = new Map(document.sourceNats.map((nat) => [chainName(nat), portChain(nat)]));
  return {
    sets,
    chains: [
      {
        name: 'translate_out',
        hook: 'type nat hook postrouting priority 100; policy accept;',
        rules: [
          // A guest that reached its neighbour by a public address must get the answer from the router.
          'ct status dnat iifname . oifname @hairpins snat ip to oifname map @gateway_of',
          'snat ip to oifname . ip saddr map @static_nat_out',
          'iifname . oifname vmap @source_nats',
        ],
      },
      ...portChains.values(),
    ],
    parts: [
      part<SourceNat>({
        name: 'source-nats',
        items: document.sourceNats,
        context: together(document.legs, document.handover),
        elementsOf: (nat, { element }) => {
          for (const arrival of arrivals.get(nat.leg) ?? []) {
            const key = `"${arrival}" . "${devices.get(nat.outLeg)}"`;
            element('source_nats', key, `goto ${chainName(nat)}`);
            element('source_nat_addresses', key, nat.publicAddress);
          }
        },
      }),
    ],
  };
};
