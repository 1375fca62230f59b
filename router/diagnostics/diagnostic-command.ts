import type { Problem, RouterDocument } from 'documents';
import { isIpv6, networkOf, parseIp, type Prefix, prefixContains } from 'ip';

/** Something to try from inside the router. */
export interface DiagnosticRequest {
  readonly type: 'ping' | 'traceroute' | 'arping';
  readonly address: string;
  /** Id of the leg to send from; by the routing table when absent. */
  readonly leg?: string;
  /** Probes (ping, arping) or hops (traceroute). */
  readonly count?: number;
}

/** A program to run, its arguments as an array, and when to give up, ms. */
export interface DiagnosticCommand {
  readonly program: string;
  readonly args: readonly string[];
  readonly timeout: number;
}

const MOST: Readonly<Record<DiagnosticRequest['type'], number>> = { ping: 20, traceroute: 30, arping: 20 };
const USUAL: Readonly<Record<DiagnosticRequest['type'], number>> = { ping: 4, traceroute: 20, arping: 4 };

const problem = (pointer: string, code: string, message: string, hint: string): Problem => ({
  pointer,
  code,
  message,
  hint,
});

const isRequest = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The command for a diagnostic, or everything wrong with the request. Pure. Nothing of the request reaches the command but an
 * address that was parsed, a number in bounds, and the device of a leg of the document.
 */
export const diagnosticCommand = (
  request: unknown,
  { legs }: Pick<RouterDocument, 'legs'>,
): DiagnosticCommand | readonly Problem[] => {
  if (!isRequest(request))
    return [problem('', 'wrong-type', 'A diagnostic is an object', 'Send {"type","address"}.')];
  const problems: Problem[] = [];
  for (const name of Object.keys(request)) {
    if (['type', 'address', 'leg', 'count'].includes(name)) continue;
    problems.push(
      problem(`/${name}`, 'unknown-field', `There is no field ${JSON.stringify(name)} here`, 'Remove it.'),
    );
  }
  const { type, leg: legId } = request;
  if (type !== 'ping' && type !== 'traceroute' && type !== 'arping') {
    return [
      ...problems,
      problem(
        '/type',
        'not-allowed',
        `${JSON.stringify(type)} is no diagnostic`,
        'Use ping, traceroute or arping.',
      ),
    ];
  }
  const address = typeof request['address'] === 'string' ? parseIp(request['address']) : null;
  if (address === null) {
    const shown = JSON.stringify(request['address']) ?? 'nothing';
    problems.push(
      problem(
        '/address',
        'bad-format',
        `${shown.slice(0, 80)} is no address`,
        'Give an IPv4 or IPv6 address.',
      ),
    );
  } else if (type === 'arping' && isIpv6(address)) {
    problems.push(
      problem('/address', 'not-allowed', 'ARP is for IPv4 alone', 'Use ping for an IPv6 address.'),
    );
  }
  const count = request['count'] ?? USUAL[type];
  if (!Number.isInteger(count) || (count as number) < 1 || (count as number) > MOST[type]) {
    problems.push(
      problem(
        '/count',
        'out-of-bounds',
        `${JSON.stringify(count)} is out of bounds`,
        `Give a whole number from 1 to ${MOST[type]}.`,
      ),
    );
  }
  let leg = legs.find(({ id }) => id === legId);
  if (legId !== undefined && leg === undefined) {
    const known = legs.map(({ id }) => id).join(', ');
    problems.push(
      problem('/leg', 'unknown-leg', `There is no leg ${JSON.stringify(legId)}`, `Use one of: ${known}.`),
    );
  }
  if (type === 'arping' && legId === undefined && address !== null && !isIpv6(address)) {
    leg = legs.find(({ addresses }) =>
      addresses.some((own) => prefixContains(networkOf(own as Prefix), address)),
    );
    if (leg === undefined) {
      problems.push(
        problem(
          '/leg',
          'missing-field',
          `${address} is in no network of this router`,
          'Name the leg to ask on.',
        ),
      );
    }
  }
  if (problems.length > 0 || address === null) return problems;
  const text = String(count);
  switch (type) {
    case 'ping':
      return {
        program: '/usr/bin/ping',
        args: [
          '-n',
          '-c',
          text,
          '-i',
          '0.5',
          '-W',
          '1',
          ...(leg === undefined ? [] : ['-I', leg.device]),
          address,
        ],
        timeout: 30_000,
      };
    case 'traceroute':
      return {
        program: '/usr/sbin/traceroute',
        args: [
          '-n',
          '-q',
          '1',
          '-w',
          '1',
          '-m',
          text,
          ...(leg === undefined ? [] : ['-i', leg.device]),
          address,
        ],
        timeout: 45_000,
      };
    case 'arping':
      return {
        program: '/usr/bin/arping',
        args: [
          '-c',
          text,
          '-w',
          String((count as number) + 2),
          '-I',
          (leg as { device: string }).device,
          address,
        ],
        timeout: 30_000,
      };
  }
};
