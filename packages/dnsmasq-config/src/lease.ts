import { type Ipv4, type Ipv6, type MacAddress, parseIpv4, parseIpv6, parseMac } from 'ip';
import type { HostReservation } from './dnsmasq-config-types.ts';
import { file } from './line.ts';

export interface Lease4 {
  readonly family: 4;
  /** Seconds since 1970; `null` for an infinite lease. */
  readonly expiresAt: number | null;
  readonly mac: MacAddress;
  readonly address: Ipv4;
  /** `null` when the client has no name. */
  readonly hostname: string | null;
  /** Hexadecimal octets with colons, as the client sent it; `null` without one. */
  readonly clientId: string | null;
}

export interface Lease6 {
  readonly family: 6;
  readonly expiresAt: number | null;
  /** Identity association (RFC 8415): an unsigned 32-bit number. */
  readonly iaid: number;
  /** IA_TA rather than IA_NA. */
  readonly temporary: boolean;
  readonly address: Ipv6;
  readonly hostname: string | null;
  /** The client's DUID, hexadecimal octets with colons. */
  readonly duid: string;
}

export type Lease = Lease4 | Lease6;

const OCTETS = /^[0-9a-f]{2}(?::[0-9a-f]{2})*$/i;

const orNull = (text: string): string | null => (text === '*' ? null : text);

function parseLine(text: string): Lease | null {
  const [expiry = '', owner = '', addressText = '', name = '', id = '', ...rest] = text.split(' ');
  if (id === '' || rest.length > 0 || !/^[0-9]+$/.test(expiry)) return null;
  const expiresAt = expiry === '0' ? null : Number(expiry);
  if (!addressText.includes(':')) {
    const mac = parseMac(owner);
    const address = parseIpv4(addressText);
    if (mac === null || address === null) return null;
    return { family: 4, expiresAt, mac, address, hostname: orNull(name), clientId: orNull(id) };
  }
  const address = parseIpv6(addressText);
  const iaid = /^(T?)([0-9]{1,10})$/.exec(owner);
  if (address === null || iaid === null || !OCTETS.test(id)) return null;
  return {
    family: 6,
    expiresAt,
    iaid: Number(iaid[2]),
    temporary: iaid[1] === 'T',
    address,
    hostname: orNull(name),
    duid: id,
  };
}

/** The leases of dnsmasq's lease file. Lines that are none (the server's DUID, hardware other than Ethernet, garbage) are left out. */
export function parseLeases(text: string): Lease[] {
  return text
    .split('\n')
    .map(parseLine)
    .filter((lease) => lease !== null);
}

/** The server's own DUID, which dnsmasq keeps in the lease file and clients know it by; `null` when there is none. */
export function parseServerDuid(text: string): string | null {
  const found = /^duid ([0-9a-f:]+)$/im.exec(text)?.[1];
  return found !== undefined && OCTETS.test(found) ? found : null;
}

/** A lease file. IPv4 first, then the server's DUID, then IPv6, as dnsmasq writes it: after the DUID it reads IPv6 leases only. */
export function renderLeases(leases: readonly Lease[], serverDuid: string | null = null): string {
  const common = (
    { expiresAt, address, hostname }: Lease,
    owner: string | number,
    id: string | null,
  ): string => `${expiresAt ?? 0} ${owner} ${address} ${hostname ?? '*'} ${id ?? '*'}`;
  return file([
    ...leases.filter((lease) => lease.family === 4).map((lease) => common(lease, lease.mac, lease.clientId)),
    ...(serverDuid === null ? [] : [`duid ${serverDuid}`]),
    ...leases
      .filter((lease) => lease.family === 6)
      .map((lease) => common(lease, `${lease.temporary ? 'T' : ''}${lease.iaid}`, lease.duid)),
  ]);
}

/**
 * The IPv4 leases that stand against the reservations: of a client that is not reserved, or of one that is reserved elsewhere. While such
 * a lease lives, its address is given to nobody else ("not using configured address ... because it is leased to ...").
 */
export function staleLeases(leases: readonly Lease[], reservations: readonly HostReservation[]): Lease4[] {
  const addresses = new Map(reservations.map(({ mac, addresses }) => [mac, new Set<string>(addresses)]));
  return leases
    .filter((lease) => lease.family === 4)
    .filter(({ mac, address }) => !addresses.get(mac)?.has(address));
}

/** The leases without those of these addresses: for the lease file of a dnsmasq that is stopped, before it is started again. */
export function withoutLeases(leases: readonly Lease[], addresses: ReadonlySet<string>): Lease[] {
  return leases.filter(({ address }) => !addresses.has(address));
}
