/** IP and MAC addresses between text and bytes. Text is strict: no octal, no short forms, no zone ids. */
import { isIPv4, isIPv6 } from 'node:net';
import { invalidRequest } from '../netlink-error.ts';

export const AF_INET = 2;
export const AF_BRIDGE = 7;
export const AF_INET6 = 10;

/** Which protocol family an address belongs to. */
export type AddressFamily = 'ipv4' | 'ipv6';

const ipv4Bytes = (text: string): Buffer => Buffer.from(text.split('.').map(Number));

const ipv6Bytes = (text: string): Buffer => {
  const lastColon = text.lastIndexOf(':');
  const tail = text.slice(lastColon + 1);
  let source = text;
  if (tail.includes('.')) {
    const four = ipv4Bytes(tail);
    source = `${text.slice(0, lastColon + 1)}${four.readUInt16BE(0).toString(16)}:${four.readUInt16BE(2).toString(16)}`;
  }
  const [head = '', rest] = source.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = rest === undefined || rest === '' ? [] : rest.split(':');
  const bytes = Buffer.alloc(16);
  left.forEach((group, i) => bytes.writeUInt16BE(Number.parseInt(group, 16), i * 2));
  right.forEach((group, i) => bytes.writeUInt16BE(Number.parseInt(group, 16), 16 - (right.length - i) * 2));
  return bytes;
};

/** Bytes of an address; throws {@link NetlinkError} `netlink-invalid` on anything else. */
export const ipBytes = (text: string): Buffer => {
  if (isIPv4(text)) return ipv4Bytes(text);
  if (isIPv6(text) && !text.includes('%')) return ipv6Bytes(text);
  throw invalidRequest('encode address', `not an IP address: ${JSON.stringify(text)}`);
};

const ipv6Text = (bytes: Buffer, at: number): string => {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(at + i));
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i += 1) {
    let run = 0;
    while (i + run < 8 && groups[i + run] === 0) run += 1;
    if (run > bestLength) {
      best = i;
      bestLength = run;
    }
    if (run > 0) i += run - 1;
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (best < 0) return hex(groups);
  // RFC 5952 section 5: IPv4-mapped addresses keep their dotted form.
  if (best === 0 && bestLength === 5 && groups[5] === 0xffff) {
    return `::ffff:${bytes[at + 12]}.${bytes[at + 13]}.${bytes[at + 14]}.${bytes[at + 15]}`;
  }
  return `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestLength))}`;
};

/** Text of an address of 4 or 16 bytes, in the form of RFC 5952; undefined for other lengths. */
export const ipText = (bytes: Buffer | undefined): string | undefined => {
  if (bytes === undefined) return undefined;
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  if (bytes.length === 16) return ipv6Text(bytes, 0);
  return undefined;
};

/** The address family number for these address bytes. */
export const familyOf = (bytes: Uint8Array): number => (bytes.length === 4 ? AF_INET : AF_INET6);

export const familyNumber = (family: AddressFamily): number => (family === 'ipv4' ? AF_INET : AF_INET6);

export const familyName = (number: number): AddressFamily => (number === AF_INET6 ? 'ipv6' : 'ipv4');

/** An address with its prefix length. */
export interface Prefix {
  readonly bytes: Buffer;
  readonly length: number;
}

/** `10.0.0.0/8` or a bare address (whole length); throws `netlink-invalid`. */
export const prefixBytes = (text: string): Prefix => {
  const slash = text.indexOf('/');
  const bytes = ipBytes(slash < 0 ? text : text.slice(0, slash));
  const bits = bytes.length * 8;
  if (slash < 0) return { bytes, length: bits };
  const lengthText = text.slice(slash + 1);
  const length = Number(lengthText);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(lengthText) || length > bits) {
    throw invalidRequest('encode prefix', `not a prefix length: ${JSON.stringify(text)}`);
  }
  return { bytes, length };
};

/** Bytes of `02:00:0a:01:01:01`; throws `netlink-invalid`. */
export const macBytes = (text: string): Buffer => {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) {
    throw invalidRequest('encode MAC address', `not a MAC address: ${JSON.stringify(text)}`);
  }
  return Buffer.from(text.replaceAll(':', ''), 'hex');
};

/** Lower-case text of a link-layer address of any length; null when there is none. */
export const macText = (bytes: Buffer | undefined): string | null =>
  bytes === undefined || bytes.length === 0 ? null : (bytes.toString('hex').match(/../g) ?? []).join(':');
