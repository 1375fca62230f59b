import type { Connection } from '../ruleset/connection.ts';
import { goneItems } from '../ruleset/gone.ts';
import type { StaticNatDocument } from './schema.ts';

/** Tells the connections a guest opened with a public address that is no longer its own. Those to it go with `portforward`. */
export const revokedByStaticNat = (
  before: StaticNatDocument | null,
  next: StaticNatDocument,
): ((connection: Connection) => boolean) | null => {
  if (before === null) return null;
  const gone = goneItems(before.staticNats, next.staticNats).filter(
    (nat) =>
      !next.staticNats.some(
        (one) => one.publicAddress === nat.publicAddress && one.guestAddress === nat.guestAddress,
      ),
  );
  if (gone.length === 0) return null;
  const addresses = new Map(gone.map((nat) => [nat.guestAddress, nat.publicAddress]));
  return (connection) => {
    const address = addresses.get(connection.source);
    return address !== undefined && connection.replyDestination === address;
  };
};
