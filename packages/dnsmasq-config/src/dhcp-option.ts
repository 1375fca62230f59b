import type { IpAddress } from 'ip';

/** The value of a DHCP option. dnsmasq guesses types from text, so each is written in the one form it cannot misread. */
export type DhcpOptionValue =
  /** Suppresses an option dnsmasq would send by itself (3 router, 6 DNS server, 12 host name, 15 domain ...). */
  | { readonly type: 'none' }
  | { readonly type: 'addresses'; readonly addresses: readonly IpAddress[] }
  | { readonly type: 'number'; readonly value: number; readonly octets: 1 | 2 | 4 }
  /** Plain text without quotes, commas or spaces that dnsmasq does not take for a number, an address or hexadecimal. */
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'names'; readonly names: readonly string[] }
  | { readonly type: 'octets'; readonly octets: readonly number[] }
  /** Classless static routes (option 121, RFC 3442). */
  | { readonly type: 'routes'; readonly routes: readonly { readonly to: string; readonly via: IpAddress }[] };

export interface DhcpOption {
  readonly family: 4 | 6;
  /** Option number: 1 to 254 (RFC 2132), for DHCPv6 1 to 65535. */
  readonly code: number;
  readonly value: DhcpOptionValue;
  /** Only for hosts and ranges with all of these tags. */
  readonly tags?: readonly string[];
  /** Sent even when the client did not ask for it. */
  readonly force?: boolean;
}
