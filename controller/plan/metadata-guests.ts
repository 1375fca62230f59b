import type { MetadataGuest } from 'documents';
import { byId } from './by-id.ts';
import type { GuestFact, RouterFacts } from './facts.ts';
import { guestPort, sourceNatAddress } from './router-legs.ts';
import { offers } from './services.ts';

/** What every guest is told besides its user's own keys, which cannot stand in for these. */
export const ownMetaDataKeys = [
  'availability-zone',
  'cloud-identifier',
  'instance-id',
  'local-hostname',
  'local-ipv4',
  'public-hostname',
  'public-ipv4',
  'service-offering',
  'vm-id',
] as const;

/** How many keys of its own an instance may have: 64 (schema of MetadataGuest) less ours and some to grow. */
export const mostMetaDataKeys = 48;

const metaData = (facts: RouterFacts, guest: GuestFact): Record<string, string> => {
  const publicAddress = guest.staticNatAddress ?? sourceNatAddress(facts);
  return {
    ...guest.metaData,
    'availability-zone': facts.zone.name,
    'cloud-identifier': `Selvage-${facts.zone.id}`,
    'instance-id': guest.instance,
    'local-hostname': guest.hostname,
    'local-ipv4': guest.address,
    // CloudStack gives the address as the public host name too; guests' scripts read either.
    ...(publicAddress === undefined
      ? {}
      : { 'public-hostname': publicAddress, 'public-ipv4': publicAddress }),
    'service-offering': 'namespace',
    'vm-id': guest.instance,
  };
};

/** One for each guest port, under the port's id. */
export const planMetadataGuests = (facts: RouterFacts): MetadataGuest[] => {
  const leg = guestPort(facts);
  if (leg === undefined || !offers(facts, 'metadata')) return [];
  return byId(
    facts.guests.map((guest) => ({
      id: guest.id,
      leg: leg.id,
      address: guest.address,
      instance: guest.instance,
      hostname: guest.hostname,
      userData: guest.userData,
      publicKeys: [...guest.publicKeys],
      metaData: metaData(facts, guest),
      ...(guest.password === null ? {} : { password: guest.password }),
    })),
  );
};
