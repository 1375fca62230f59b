import { type Static, Type } from 'typebox';
import { Domain, Hostname, Id, Ip, Ipv4, Ipv4Prefix, Mac } from '../scalars.ts';

/** DHCP service on one guest leg. Only the hosts listed get an address. */
export const DhcpSubnet = Type.Object(
  {
    id: Id,
    leg: Id,
    prefix: Ipv4Prefix,
    gateway: Ipv4,
    dnsServers: Type.Array(Ipv4, {
      description: 'What guests are told to ask (option 6), usually the router itself.',
      maxItems: 8,
    }),
    domain: Domain,
    leaseTime: Type.Integer({
      description: 'Seconds; 0 is for ever (RFC 2131, 3.3).',
      minimum: 0,
      maximum: 31_536_000,
    }),
  },
  { additionalProperties: false },
);
export type DhcpSubnet = Static<typeof DhcpSubnet>;

/** One guest interface: the address it is given and the name it is known by. */
export const DhcpHost = Type.Object(
  { id: Id, leg: Id, mac: Mac, address: Ipv4, hostname: Hostname },
  { additionalProperties: false },
);
export type DhcpHost = Static<typeof DhcpHost>;

/** Name service for guests: their own names (from `dhcpHosts`) and everything else by forwarding. */
export const Dns = Type.Object(
  {
    domain: Domain,
    upstreams: Type.Array(Ip, {
      description: 'Resolvers asked for every other name, in order.',
      maxItems: 8,
    }),
    records: Type.Array(Type.Object({ id: Id, name: Domain, address: Ip }, { additionalProperties: false }), {
      description: 'Further names, such as data-server.',
      maxItems: 1024,
    }),
  },
  { additionalProperties: false },
);
export type Dns = Static<typeof Dns>;
