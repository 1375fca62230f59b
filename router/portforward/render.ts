import type { PortForward } from 'documents';
import { OPENED } from '../legs/render.ts';
import {
  type Chain,
  type ElementSink,
  type Fragment,
  part,
  type SetDeclaration,
} from '../ruleset/fragment.ts';
import type { PortForwardDocument } from './schema.ts';

const sets: readonly SetDeclaration[] = [
  {
    name: 'port_forwards',
    kind: 'map',
    type: 'ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service',
  },
  {
    name: 'port_forward_ranges',
    kind: 'map',
    type: 'ipv4_addr . inet_proto . inet_service : ipv4_addr',
    interval: true,
  },
];

const chains: readonly Chain[] = [
  {
    name: 'translate_in',
    hook: 'type nat hook prerouting priority -100; policy accept;',
    rules: [
      `meta mark & ${OPENED} != ${OPENED} accept`,
      'dnat ip to ip daddr . meta l4proto . th dport map @port_forwards',
      'dnat ip to ip daddr . meta l4proto . th dport map @port_forward_ranges',
      'dnat ip to ip daddr map @static_nat_in',
    ],
  },
];

/** Whether the rule is kept as one range: it has several ports and changes none of them. */
export const keepsPorts = ({ publicPorts, guestPorts }: PortForward): boolean =>
  publicPorts.first === guestPorts.first && publicPorts.first !== publicPorts.last;

const elementsOf = (forward: PortForward, { element }: ElementSink): void => {
  const { publicAddress, protocol, publicPorts, guestAddress, guestPorts } = forward;
  if (keepsPorts(forward)) {
    const key = `${publicAddress} . ${protocol} . ${publicPorts.first}-${publicPorts.last}`;
    element('port_forward_ranges', key, guestAddress);
    return;
  }
  for (let port = publicPorts.first; port <= publicPorts.last; port += 1) {
    element(
      'port_forwards',
      `${publicAddress} . ${protocol} . ${port}`,
      `${guestAddress} . ${guestPorts.first + port - publicPorts.first}`,
    );
  }
};

/** The port forwarding part of the table. */
export const renderPortForward = (document: PortForwardDocument): Fragment => ({
  sets,
  chains,
  parts: [
    part<PortForward>({
      name: 'port-forwards',
      items: document.portForwards,
      context: null,
      elementsOf,
    }),
  ],
});
