import type { MachineLink } from 'documents';
import { byId } from './by-id.ts';
import { chainLinks } from './chain-links.ts';
import type { ChainRouter, HostFacts } from './facts.ts';

/**
 * The wires between routers of this host of which either sends to the other, or hears it. A wire is there before the first
 * document that speaks of it is given out, and until the last is gone.
 */
export const planMachineLinks = (facts: HostFacts): MachineLink[] => {
  const routers = new Map(
    facts.routers.map((router): [string, ChainRouter] => [
      router.id,
      {
        ...router,
        ports: facts.ports.flatMap(({ id, role, machine }) =>
          machine === router.id && role !== 'guest' ? [{ id, role }] : [],
        ),
      },
    ]),
  );
  const mtus = new Map(facts.networks.map(({ id, mtu }) => [id, mtu]));
  const links = new Map<string, MachineLink>();
  for (const { id, network, older, newer, heardOlder, heardNewer } of facts.routers) {
    const own = routers.get(id);
    for (const neighbour of [older, newer, heardOlder, heardNewer]) {
      const other = neighbour === null ? undefined : routers.get(neighbour);
      if (own === undefined || other === undefined) continue;
      for (const link of chainLinks(own, other)) {
        const mtu = link.role === 'router-public' ? facts.zone.publicMtu : mtus.get(network);
        if (mtu === undefined) continue;
        const [one, two] = link.ends;
        links.set(link.id, {
          id: link.id,
          mtu,
          ends: [
            { machine: one.router, device: link.device, mac: one.mac },
            { machine: two.router, device: link.device, mac: two.mac },
          ],
        });
      }
    }
  }
  return byId(links.values());
};
