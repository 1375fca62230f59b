import type { MetadataGuest } from 'documents';
import { addressOfPrefix, type Prefix } from 'ip';
import type { MetadataPart } from './schema.ts';

/** What one guest may read. Holds its password: never to be shown. */
export interface RenderedGuest {
  readonly id: string;
  readonly instance: string;
  /** Base64; empty for none. */
  readonly userData: string;
  readonly publicKeys: readonly string[];
  /** Everything under /latest/meta-data/, by name, in order. */
  readonly keys: ReadonlyMap<string, string>;
  readonly password: string | null;
}

/** Where the metadata service listens and what it answers to whom. */
export interface RenderedMetadata {
  /** Id of the router. */
  readonly subject: string;
  /** The router's own address on each guest leg. */
  readonly listeners: readonly string[];
  /** By the address the guest asks from, which is what it is known by. */
  readonly guests: ReadonlyMap<string, RenderedGuest>;
}

/** Keys CloudStack's router serves (its administration guide, "User Data and Meta Data"); the document may add to them and correct them. */
const keysOf = (guest: MetadataGuest, publicAddress: string | undefined): Map<string, string> => {
  const keys: Record<string, string> = {
    'instance-id': guest.instance,
    'local-hostname': guest.hostname,
    'local-ipv4': guest.address,
    'vm-id': guest.instance,
    ...(publicAddress === undefined
      ? {}
      : { 'public-hostname': publicAddress, 'public-ipv4': publicAddress }),
    ...(guest.publicKeys.length === 0 ? {} : { 'public-keys': guest.publicKeys.join('\n') }),
    ...guest.metaData,
  };
  return new Map(Object.entries(keys).toSorted(([a], [b]) => (a < b ? -1 : 1)));
};

/** The metadata service of a document; pure. */
export const render = (document: MetadataPart): RenderedMetadata => {
  const gateways = new Map(document.dhcpSubnets.map(({ leg, gateway }) => [leg, gateway]));
  const own = new Map(document.staticNats.map((nat) => [nat.guestAddress, nat.publicAddress]));
  const shared = new Map(document.sourceNats.map(({ leg, publicAddress }) => [leg, publicAddress]));
  // A network without the service has no guests here, and nothing listens on it.
  const served = new Set(document.metadataGuests.map(({ leg }) => leg));
  const listeners = document.legs.flatMap((leg) => {
    if (leg.role !== 'guest' || !served.has(leg.id)) return [];
    const first = leg.addresses.find((address) => !address.includes(':'));
    const address = gateways.get(leg.id) ?? (first && addressOfPrefix(first as Prefix));
    return address === undefined ? [] : [address];
  });
  const guests = document.metadataGuests.map((guest): readonly [string, RenderedGuest] => [
    guest.address,
    {
      id: guest.id,
      instance: guest.instance,
      userData: guest.userData,
      publicKeys: guest.publicKeys,
      keys: keysOf(guest, own.get(guest.address) ?? shared.get(guest.leg)),
      password: guest.password ?? null,
    },
  ]);
  return { subject: document.id, listeners, guests: new Map(guests) };
};
