/** What to give out next. Pure: uniqueness is the database's to enforce, randomness is passed in. */
import {
  firstFree,
  type IpAddress,
  type Ipv4,
  type Ipv4Prefix,
  ipRange,
  macFromNumber,
  prefixRange,
} from 'ip';

/** RFC 7348: VNIs have 24 bits; 0 is not used. */
export const VNI_MAX = 16_777_215;

/** The lowest VNI that is not in `used` (ascending), null when all are. */
export const lowestFreeVni = (used: readonly number[]): number | null => {
  let next = 1;
  for (const vni of used) {
    if (vni > next) break;
    if (vni === next) next += 1;
  }
  return next <= VNI_MAX ? next : null;
};

/** The lowest address hosts of `prefix` can have that is not in `used`, null when all are. */
export const lowestFreeAddress = (prefix: Ipv4Prefix, used: ReadonlySet<string>): Ipv4 | null => {
  const { first, last } = prefixRange(prefix);
  return firstFree({ first, last }, used as ReadonlySet<IpAddress>);
};

export interface AddressRange {
  readonly id: string;
  readonly first: string;
  readonly last: string;
  readonly gateway: string;
}

/** The lowest free address of the first range that has one. Gateways belong to the upstream router. */
export const lowestFreePublicAddress = (
  ranges: readonly AddressRange[],
  used: ReadonlySet<string>,
): { readonly range: string; readonly address: string } | null => {
  for (const { id, first, last, gateway } of ranges) {
    const span = ipRange(first as Ipv4, last as Ipv4);
    if (span === null) continue;
    const taken = used.has(gateway) ? used : new Set([...used, gateway]);
    const address = firstFree(span, taken as ReadonlySet<IpAddress>);
    if (address !== null) return { range: id, address };
  }
  return null;
};

/**
 * A unicast, locally administered MAC (IEEE 802, the two low bits of the first octet) of 02 and five random bytes.
 * @throws {RangeError} when there are not five bytes.
 */
export const macOf = (random: Uint8Array): string => {
  if (random.length !== 5) throw new RangeError('A MAC takes five random bytes');
  return macFromNumber(random.reduce((value, byte) => value * 256 + byte, 0x02));
};
