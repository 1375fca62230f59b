import { ipv4AddressesOf } from '../legs/render.ts';
import type { Connection } from '../ruleset/connection.ts';
import { goneItems } from '../ruleset/gone.ts';
import { addressNumber, prefixInterval } from '../ruleset/key-text.ts';
import type { SourceNatDocument } from './schema.ts';

/** Tells the connections that went out with an address that is no longer theirs. A change of ports leaves them alone. */
export const revokedBySourceNat = (
  before: SourceNatDocument | null,
  next: SourceNatDocument,
): ((connection: Connection) => boolean) | null => {
  if (before === null) return null;
  const gone = goneItems(before.sourceNats, next.sourceNats).filter(
    (nat) =>
      !next.sourceNats.some(
        (one) => one.leg === nat.leg && one.outLeg === nat.outLeg && one.publicAddress === nat.publicAddress,
      ),
  );
  if (gone.length === 0) return null;
  const translations = gone.map((nat) => ({
    address: nat.publicAddress,
    networks: before.legs
      .filter((leg) => leg.id === nat.leg)
      .flatMap((leg) => ipv4AddressesOf(leg).map(prefixInterval)),
  }));
  return (connection) =>
    translations.some(({ address, networks }) => {
      const source = addressNumber(connection.source);
      return (
        connection.replyDestination === address &&
        networks.some(([first, last]) => first <= source && source <= last)
      );
    });
};
