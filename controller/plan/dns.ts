import type { Dns } from 'documents';
import type { RouterFacts } from './facts.ts';
import { derivedId } from './ids.ts';
import { guestPort } from './router-legs.ts';
import { offers } from './services.ts';

/**
 * Name service. `data-server` is the name CloudStack guests and cloud-init look for to find their metadata; a name of
 * one label lives in the domain too.
 */
export const planDns = (facts: RouterFacts): Dns => {
  const { domain, gateway } = facts.network;
  if (!offers(facts, 'dns')) return { domain, upstreams: [], records: [] };
  const guest = guestPort(facts);
  const records =
    guest !== undefined && offers(facts, 'metadata')
      ? [{ id: derivedId('rec', guest.id), name: 'data-server', address: gateway }]
      : [];
  return { domain, upstreams: [...facts.zone.dns], records };
};
