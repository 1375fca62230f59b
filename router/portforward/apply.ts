import type { RouterDocument } from 'documents';
import { publicAddressesOf } from '../document/checks.ts';
import type { Connection } from '../ruleset/connection.ts';
import { goneItems } from '../ruleset/gone.ts';
import type { PortForwardDocument } from './schema.ts';

type Translations = Pick<RouterDocument, 'portForwards' | 'staticNats'>;

/** Whether a port forward or static NAT leads a connection where it goes. */
const explains = (document: Translations, connection: Connection): boolean =>
  document.staticNats.some(
    (nat) => nat.publicAddress === connection.destination && nat.guestAddress === connection.replySource,
  ) ||
  document.portForwards.some(
    ({ publicAddress, protocol, publicPorts, guestAddress, guestPorts }) =>
      publicAddress === connection.destination &&
      protocol === connection.protocol &&
      publicPorts.first <= connection.destinationPort &&
      connection.destinationPort <= publicPorts.last &&
      guestAddress === connection.replySource &&
      connection.replySourcePort - connection.destinationPort === guestPorts.first - publicPorts.first,
  );

/** Tells the connections from outside that were led to a guest by a mapping that is gone, static NAT included. */
export const revokedByPortForward = (
  before: PortForwardDocument | null,
  next: PortForwardDocument,
): ((connection: Connection) => boolean) | null => {
  if (before === null) {
    const held = publicAddressesOf(next.legs);
    return (connection) =>
      held.has(connection.destination) &&
      connection.replySource !== connection.destination &&
      !explains(next, connection);
  }
  const gone: Translations = {
    portForwards: goneItems(before.portForwards, next.portForwards),
    staticNats: goneItems(before.staticNats, next.staticNats),
  };
  if (gone.portForwards.length === 0 && gone.staticNats.length === 0) return null;
  return (connection) => explains(gone, connection) && !explains(next, connection);
};
