import { IpError } from './ip-error.ts';

/** A MAC address, canonical: six lower-case hexadecimal octets with colons. */
export type MacAddress = string & { readonly __ip: 'mac' };

const FORM = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;

/** Reads six two-digit octets with colons, either case. Refuses hyphens, dots and octets of one digit. */
export function parseMac(text: string): MacAddress | null {
  return FORM.test(text) ? (text.toLowerCase() as MacAddress) : null;
}

/** The address as an unsigned 48-bit number. @throws {IpError} `IP_NOT_CANONICAL` when the value was never parsed. */
export function macToNumber(mac: MacAddress): number {
  if (!FORM.test(mac)) throw new IpError('IP_NOT_CANONICAL', `${JSON.stringify(mac)} is not a MAC address`);
  return Number.parseInt(mac.replaceAll(':', ''), 16);
}

/** @throws {IpError} `IP_OUT_OF_RANGE` when the value has more than 48 bits. */
export function macFromNumber(value: number): MacAddress {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff_ffff) {
    throw new IpError('IP_OUT_OF_RANGE', `${value} is not an unsigned 48-bit number`);
  }
  const digits = value.toString(16).padStart(12, '0');
  return digits.replace(/..(?!$)/g, '$&:') as MacAddress;
}

/** Whether an interface can have it: neither a group address (IEEE 802, I/G bit) nor all zeros, as the kernel's is_valid_ether_addr. */
export function isUnicastMac(mac: MacAddress): boolean {
  const value = macToNumber(mac);
  return value !== 0 && (Math.floor(value / 2 ** 40) & 1) === 0;
}

/** Whether it was given by an administrator and not by a vendor (IEEE 802, U/L bit). */
export function isLocalMac(mac: MacAddress): boolean {
  return (Math.floor(macToNumber(mac) / 2 ** 40) & 2) !== 0;
}
