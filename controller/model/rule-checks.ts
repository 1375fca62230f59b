/** What a rule has to be, beyond the types of its fields. Every problem at once. */
import type { Problem } from 'documents';
import { type Ipv4Prefix, prefixContains } from 'ip';
import { problem } from './problem.ts';

export interface PortSpan {
  readonly first: number;
  readonly last: number;
}

/** Ports as they are given: `80`, `{first: 80}` or `{first: 80, last: 90}`. */
export type PortsGiven = number | { readonly first: number; readonly last?: number };

export const portSpan = (given: PortsGiven): PortSpan =>
  typeof given === 'number'
    ? { first: given, last: given }
    : { first: given.first, last: given.last ?? given.first };

export const showPorts = ({ first, last }: PortSpan): string =>
  first === last ? String(first) : `${first}-${last}`;

export const backwardsProblems = (pointer: string, { first, last }: PortSpan): Problem[] =>
  first <= last
    ? []
    : [
        problem(
          pointer,
          'range-backwards',
          `The ports end at ${last}, before the first, ${first}`,
          'Swap first and last.',
        ),
      ];

export interface MatchGiven {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'all';
  readonly ports?: PortsGiven;
  readonly icmp?: { readonly type?: number | null; readonly code?: number | null };
}

/** Problems of what a firewall or egress rule matches. */
export const matchProblems = (match: MatchGiven): Problem[] => {
  const problems: Problem[] = [];
  const { protocol, ports, icmp } = match;
  if (ports !== undefined && protocol !== 'tcp' && protocol !== 'udp')
    problems.push(
      problem(
        '/ports',
        'ports-without-protocol',
        `A rule for ${protocol} has no ports`,
        'Remove ports, or use protocol tcp or udp.',
      ),
    );
  if (ports !== undefined) problems.push(...backwardsProblems('/ports', portSpan(ports)));
  if (icmp !== undefined && protocol !== 'icmp')
    problems.push(
      problem(
        '/icmp',
        'icmp-without-protocol',
        `A rule for ${protocol} has no ICMP type`,
        'Remove icmp, or use protocol icmp.',
      ),
    );
  if (icmp !== undefined && (icmp.code ?? null) !== null && (icmp.type ?? null) === null)
    problems.push(
      problem(
        '/icmp/type',
        'missing-field',
        'An ICMP code means something only with its type',
        'Add type, or remove code.',
      ),
    );
  return problems;
};

/** The columns a match is stored in. */
export const matchColumns = (match: MatchGiven) => {
  const span = match.ports === undefined ? null : portSpan(match.ports);
  return {
    protocol: match.protocol,
    first_port: span?.first ?? null,
    last_port: span?.last ?? null,
    icmp_type: match.icmp?.type ?? null,
    icmp_code: match.icmp?.code ?? null,
  };
};

/** Problems of the sources of an egress rule: guests of the network, nobody else. */
export const egressSourceProblems = (sources: readonly string[], prefix: string): Problem[] =>
  sources.flatMap((source, index) =>
    source === '0.0.0.0/0' || prefixContains(prefix as Ipv4Prefix, source as Ipv4Prefix)
      ? []
      : [
          problem(
            `/sources/${index}`,
            'address-outside-prefix',
            `${source} is not within ${prefix} of the network`,
            `Give prefixes within ${prefix}; sources are the guests.`,
          ),
        ],
  );

/** Problems of the two port ranges of a port forward. */
export const forwardProblems = (publicPorts: PortSpan, guestPorts: PortSpan): Problem[] => {
  const problems = [
    ...backwardsProblems('/publicPorts', publicPorts),
    ...backwardsProblems('/guestPorts', guestPorts),
  ];
  const width = publicPorts.last - publicPorts.first;
  if (problems.length === 0 && guestPorts.last - guestPorts.first !== width)
    problems.push(
      problem(
        '/guestPorts',
        'range-length',
        `${width + 1} public ports (${showPorts(publicPorts)}) do not fit ${guestPorts.last - guestPorts.first + 1} guest ports (${showPorts(guestPorts)})`,
        `Give ${width + 1} guest ports: ${showPorts({ first: guestPorts.first, last: guestPorts.first + width })}.`,
      ),
    );
  if (publicPorts.last > 65535 || guestPorts.last > 65535)
    problems.push(problem('/guestPorts', 'out-of-bounds', 'Ports end at 65535', 'Choose lower ports.'));
  return problems;
};

/** Texts listed twice, by the pointer of the later one. */
export const repeatedProblems = (pointer: string, texts: readonly string[]): Problem[] =>
  texts.flatMap((text, index) =>
    texts.indexOf(text) === index
      ? []
      : [problem(`${pointer}/${index}`, 'duplicate', `${text} stands here twice`, 'List it once.')],
  );
