/** The leaves documents are made of: ids, addresses, ports. Each carries its format, so checks and OpenAPI agree. */
import { type Static, Type } from 'typebox';

/** Opaque id with a readable prefix: `net-4k2v9x0d1m7q`. */
export const Id = Type.String({ pattern: '^[a-z][a-z0-9]*(-[a-z0-9]+)+$', maxLength: 63 });

/** Name of a network device: at most 15 characters (IFNAMSIZ, linux/if.h), and nothing a file path or rule could trip over. */
export const DeviceName = Type.String({ pattern: '^[a-z][a-z0-9-]{0,14}$' });

export const Ipv4 = Type.String({ format: 'ipv4' });
export const Ip = Type.String({ format: 'ip' });
export const Ipv4Prefix = Type.String({ format: 'ipv4-prefix' });
export const Prefix = Type.String({ format: 'prefix' });
export const InterfaceAddress = Type.String({ format: 'interface-address' });
export const Mac = Type.String({ format: 'mac' });
export const Hostname = Type.String({ format: 'hostname' });
export const Domain = Type.String({ format: 'domain' });

/** TCP or UDP port. */
export const Port = Type.Integer({ minimum: 1, maximum: 65535 });

/** First and last port of a range, both included. */
export const PortRange = Type.Object({ first: Port, last: Port }, { additionalProperties: false });
export type PortRange = Static<typeof PortRange>;

/** ICMP type and code (RFC 792); null means any. */
export const Icmp = Type.Object(
  {
    type: Type.Union([Type.Integer({ minimum: 0, maximum: 255 }), Type.Null()]),
    code: Type.Union([Type.Integer({ minimum: 0, maximum: 255 }), Type.Null()]),
  },
  { additionalProperties: false },
);
export type Icmp = Static<typeof Icmp>;

/** MTU in bytes: 576 is the least an IPv4 host must take (RFC 791), 9216 what switches call jumbo. */
export const Mtu = Type.Integer({ minimum: 576, maximum: 9216 });

/** Counts up with every change of intent; 0 means "none yet". */
export const Generation = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
