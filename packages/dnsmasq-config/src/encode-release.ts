import { type Ipv4, ipv4ToNumber, isUnicastMac, type MacAddress, macToNumber } from 'ip';
import { DnsmasqConfigError } from './dnsmasq-config-error.ts';

export interface Release {
  readonly clientMac: MacAddress;
  /** The address that is given back. */
  readonly address: Ipv4;
  /** The server's own address in that network. dnsmasq ignores a release addressed to another server. */
  readonly server: Ipv4;
}

const BOOTREQUEST = 1;
const ETHERNET = 1;
const COOKIE_OFFSET = 236;
const MAGIC_COOKIE = 0x63825363;
// BOOTP messages have at least 300 octets (RFC 1542, 2.1).
const LENGTH = 300;

/**
 * A DHCPRELEASE (RFC 2131, 4.4.6) in a client's name, for the server's own machine to free a lease: what dhcp_release(1) of dnsmasq-utils
 * sends. It goes as UDP payload to port 67 of the server's address, from any socket in the server's network namespace. No client id
 * is sent: dnsmasq then finds the lease by its hardware address, whatever client id the client used.
 *
 * @throws {DnsmasqConfigError} `DNSMASQ_BAD_RELEASE` when no client can have that MAC address
 */
export function encodeRelease({ clientMac, address, server }: Release): Uint8Array {
  if (!isUnicastMac(clientMac)) {
    throw new DnsmasqConfigError('DNSMASQ_BAD_RELEASE', `${clientMac} is no client's MAC address`);
  }
  const message = new Uint8Array(LENGTH);
  const view = new DataView(message.buffer);
  const mac = macToNumber(clientMac);
  message.set([BOOTREQUEST, ETHERNET, 6], 0);
  // Any number does: there is no reply to match. The low half of the MAC makes it findable in a capture.
  view.setUint32(4, mac % 2 ** 32);
  view.setUint32(12, ipv4ToNumber(address));
  view.setUint16(28, Math.floor(mac / 2 ** 32));
  view.setUint32(30, mac % 2 ** 32);
  view.setUint32(COOKIE_OFFSET, MAGIC_COOKIE);
  // 53 message type = 7 DHCPRELEASE; 54 server identifier; 255 end (RFC 2132)
  message.set([53, 1, 7, 54, 4], COOKIE_OFFSET + 4);
  view.setUint32(COOKIE_OFFSET + 9, ipv4ToNumber(server));
  message[COOKIE_OFFSET + 13] = 255;
  return message;
}
