import type { DhcpHost } from 'documents';
import { byId } from './by-id.ts';
import type { RouterFacts } from './facts.ts';
import { guestPort } from './router-legs.ts';
import { offers } from './services.ts';

/** One for each guest port, under the port's id: its lease, and its name where there is DNS. */
export const planDhcpHosts = (facts: RouterFacts): DhcpHost[] => {
  const leg = guestPort(facts);
  if (leg === undefined || !offers(facts, 'dhcp')) return [];
  return byId(
    facts.guests.map(({ id, mac, address, hostname }) => ({ id, leg: leg.id, mac, address, hostname })),
  );
};
