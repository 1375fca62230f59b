import { familyOf, parsePrefix } from 'ip';
import type { DhcpOption } from './dhcp-option.ts';
import type { Problem } from './problem.ts';
import { isDomainName, isOptionText, isTag } from './syntax.ts';

/** Checks tags, reported at `${pointer}/${index}`. */
export function verifyTags(tags: readonly string[] | undefined, pointer: string): Problem[] {
  return (tags ?? []).flatMap((tag, index) =>
    isTag(tag)
      ? []
      : [
          {
            pointer: `${pointer}/${index}`,
            code: 'bad-tag',
            message: `${JSON.stringify(tag)} is not a tag`,
            hint: 'Use letters, digits, hyphens and underscores, at most 63, beginning with a letter or digit.',
          },
        ],
  );
}

// Netmask, overload, lease time, message type, server id, ... are set by the protocol itself.
const PROTOCOL_OPTIONS = new Set([0, 50, 51, 52, 53, 54, 55, 57, 58, 59, 61, 255]);

/** Every problem of a DHCP option. */
export function verifyOption(option: DhcpOption, pointer: string): Problem[] {
  const { family, code, value } = option;
  const problems = verifyTags(option.tags, `${pointer}/tags`);
  const problem = (at: string, kind: string, message: string, hint: string): void => {
    problems.push({ pointer: `${pointer}${at}`, code: kind, message, hint });
  };
  const largest = family === 4 ? 254 : 65535;
  if (!Number.isInteger(code) || code < 1 || code > largest || (family === 4 && PROTOCOL_OPTIONS.has(code))) {
    problem(
      '/code',
      'bad-option-code',
      `${code} is not a DHCPv${family} option that can be set`,
      `Use a number from 1 to ${largest} that the protocol does not set itself.`,
    );
  }
  switch (value.type) {
    case 'none':
      break;
    case 'addresses':
      if (value.addresses.length === 0)
        problem('/value/addresses', 'empty-option', 'no address', 'Name at least one, or use type "none".');
      value.addresses.forEach((address, index) => {
        if (familyOf(address) !== family) {
          problem(
            `/value/addresses/${index}`,
            'wrong-family',
            `${address} cannot be in a DHCPv${family} option`,
            `Use IPv${family} addresses.`,
          );
        }
      });
      break;
    case 'number':
      if (!Number.isInteger(value.value) || value.value < 0 || value.value >= 2 ** (8 * value.octets)) {
        problem(
          '/value/value',
          'bad-number',
          `${value.value} does not fit ${value.octets} octet(s)`,
          'Use an unsigned whole number that fits.',
        );
      }
      break;
    case 'text':
      if (!isOptionText(value.text)) {
        problem(
          '/value/text',
          'unsafe-text',
          `${JSON.stringify(value.text)} would not reach the client as it stands`,
          'Use printable text without quotes, commas, spaces, # and \\ that is neither a number nor hexadecimal; or type "octets".',
        );
      }
      break;
    case 'names':
      if (value.names.length === 0)
        problem('/value/names', 'empty-option', 'no name', 'Name at least one, or use type "none".');
      value.names.forEach((name, index) => {
        if (!isDomainName(name))
          problem(
            `/value/names/${index}`,
            'bad-domain-name',
            `${JSON.stringify(name)} is not a domain name`,
            'Use labels of letters, digits and hyphens.',
          );
      });
      break;
    case 'octets':
      if (value.octets.length === 0 || value.octets.length > 255)
        problem('/value/octets', 'empty-option', `${value.octets.length} octets`, 'Use 1 to 255 octets.');
      if (!value.octets.every((octet) => Number.isInteger(octet) && octet >= 0 && octet <= 255)) {
        problem('/value/octets', 'bad-number', 'not octets', 'Use whole numbers from 0 to 255.');
      }
      break;
    case 'routes':
      if (family !== 4)
        problem(
          '/value',
          'wrong-family',
          'DHCPv6 has no routes',
          'Announce routes by router advertisements.',
        );
      if (value.routes.length === 0)
        problem('/value/routes', 'empty-option', 'no route', 'Name at least one, or use type "none".');
      value.routes.forEach(({ to, via }, index) => {
        if (parsePrefix(to) === null || familyOf(to) !== 4)
          problem(
            `/value/routes/${index}/to`,
            'bad-prefix',
            `${JSON.stringify(to)} is not an IPv4 network`,
            'Write it as 10.2.0.0/16.',
          );
        if (familyOf(via) !== 4)
          problem(`/value/routes/${index}/via`, 'wrong-family', `${via} is not IPv4`, 'Use an IPv4 address.');
      });
      break;
  }
  return problems;
}
