import type { Problem } from 'documents';
import { type IpAddress, networkOf, type Prefix, prefixContains } from 'ip';
import type { Scope } from '../feature.ts';
import type { MetadataPart } from './schema.ts';

/** 32 KiB, as CloudStack's vm.userdata.max.length. */
const MOST_USER_DATA = 32_768;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const decodedLength = (base64: string): number =>
  (base64.length / 4) * 3 - (base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0);

/** Everything wrong with the metadata of a document. */
export const verify = (document: MetadataPart, scope?: Scope): Problem[] => {
  const wide = scope === undefined || scope.legs !== undefined;
  if (!wide && scope.metadataGuests === undefined) return [];
  const inScope = (id: string): boolean => wide || scope.metadataGuests?.has(id) === true;
  const legs = new Map(document.legs.map((leg) => [leg.id, leg]));
  const owners = new Map<string, string>();
  const problems: Problem[] = [];
  for (const [index, guest] of document.metadataGuests.entries()) {
    const pointer = `/metadataGuests/${index}`;
    const owner = owners.get(guest.address);
    if (owner === undefined) owners.set(guest.address, guest.id);
    else if (inScope(guest.id) || inScope(owner)) {
      problems.push({
        pointer: `${pointer}/address`,
        code: 'duplicate-address',
        message: `${guest.id} asks from ${guest.address}, as ${owner} does: one would read the other's data`,
        hint: 'Give every guest an address of its own.',
      });
    }
    if (!inScope(guest.id)) continue;
    const leg = legs.get(guest.leg);
    const networks = (leg?.addresses ?? []).map((address) => networkOf(address as Prefix));
    if (leg !== undefined && leg.role !== 'guest') {
      problems.push({
        pointer: `${pointer}/leg`,
        code: 'not-a-guest-leg',
        message: `Leg ${leg.id} is a ${leg.role} leg; metadata is for guests only`,
        hint: 'Use a guest leg.',
      });
    } else if (
      leg !== undefined &&
      !networks.some((network) => prefixContains(network, guest.address as IpAddress))
    ) {
      problems.push({
        pointer: `${pointer}/address`,
        code: 'address-outside-prefix',
        message: `${guest.address} is not in the network of leg ${guest.leg}`,
        hint: `Use an address in ${networks.join(' or ')}.`,
      });
    }
    if (!BASE64.test(guest.userData)) {
      problems.push({
        pointer: `${pointer}/userData`,
        code: 'bad-base64',
        message: `The user data of ${guest.id} is not base64 (RFC 4648, section 4, with padding)`,
        hint: 'Encode it with "base64 -w0".',
      });
    } else if (decodedLength(guest.userData) > MOST_USER_DATA) {
      problems.push({
        pointer: `${pointer}/userData`,
        code: 'too-large',
        message: `The user data of ${guest.id} is ${decodedLength(guest.userData)} bytes`,
        hint: `Give at most ${MOST_USER_DATA} bytes; compress it (cloud-init reads gzip) or fetch the rest from inside.`,
      });
    }
  }
  return problems;
};
