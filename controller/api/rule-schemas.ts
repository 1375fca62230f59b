import { Type } from 'typebox';
import { Ipv4Prefix, numberOrNull, oneOf, Port } from './schemas.ts';

/** Ports as a request gives them. */
export const PortsGiven = Type.Union(
  [Port, Type.Object({ first: Port, last: Type.Optional(Port) }, { additionalProperties: false })],
  { description: 'One port, or first and last of a range, both included.' },
);

/** Ports as they are answered. */
export const PortRange = Type.Object({ first: Type.Integer(), last: Type.Integer() });

export const protocol = oneOf(['tcp', 'udp', 'icmp', 'all']);
export const transport = oneOf(['tcp', 'udp']);

const icmpNumber = Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: 0, maximum: 255 });

export const IcmpGiven = Type.Object(
  { type: Type.Optional(icmpNumber), code: Type.Optional(icmpNumber) },
  { additionalProperties: false, description: 'ICMP type and code (RFC 792); left out or null: any.' },
);

export const prefixes = Type.Array(Ipv4Prefix, { minItems: 1, maxItems: 256 });

/** What a firewall or egress rule matches, as it is answered: ports and icmp only where they are set. */
export const match = {
  protocol,
  ports: Type.Optional(PortRange),
  icmp: Type.Optional(Type.Object({ type: numberOrNull(), code: numberOrNull() })),
};

interface MatchRow {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'all';
  readonly first_port: number | null;
  readonly last_port: number | null;
  readonly icmp_type: number | null;
  readonly icmp_code: number | null;
}

/** A stored match as it is answered. */
export const matchOf = (row: MatchRow) => ({
  protocol: row.protocol,
  ...(row.first_port === null || row.last_port === null
    ? {}
    : { ports: { first: row.first_port, last: row.last_port } }),
  ...(row.protocol === 'icmp' ? { icmp: { type: row.icmp_type, code: row.icmp_code } } : {}),
});

/** `tcp 80-90`, `icmp 8/0`, `all`. */
export const matchWords = (row: MatchRow): string => {
  const { first_port: first, last_port: last, icmp_type: type, icmp_code: code } = row;
  if (first !== null && last !== null)
    return `${row.protocol} ${first === last ? first : `${first}-${last}`}`;
  return type === null ? row.protocol : `${row.protocol} ${type}/${code ?? 'any'}`;
};
