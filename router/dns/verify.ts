import type { Problem } from 'documents';
import type { Scope } from '../feature.ts';
import type { DnsPart } from './schema.ts';

/** Everything wrong with the names of a document. */
export const verify = (document: DnsPart, scope?: Scope): Problem[] => {
  if (
    scope !== undefined &&
    scope.dhcpHosts === undefined &&
    scope.dhcpSubnets === undefined &&
    scope.legs === undefined
  ) {
    // What is left of this part is `dns`, which is no collection; it is small.
    return recordProblems(document);
  }
  const problems = recordProblems(document);
  const owners = new Map<string, string>();
  for (const [index, { id, leg, hostname }] of document.dhcpHosts.entries()) {
    const key = `${leg} ${hostname}`;
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, id);
    else if (scope?.dhcpHosts === undefined || scope.dhcpHosts.has(id) || scope.dhcpHosts.has(owner)) {
      problems.push({
        pointer: `/dhcpHosts/${index}/hostname`,
        code: 'duplicate-hostname',
        message: `${id} is called ${hostname}, as ${owner} on the same network is`,
        hint: 'Give every guest of a network a hostname of its own.',
      });
    }
  }
  return problems;
};

/** A guest must not be able to answer for a name that the document gives to something else. */
const recordProblems = ({ dns, dhcpHosts }: DnsPart): Problem[] => {
  const problems: Problem[] = [];
  const seen = new Map<string, string>();
  for (const [index, { id, name, address }] of dns.records.entries()) {
    const key = `${name} ${address}`;
    if (seen.has(key)) {
      problems.push({
        pointer: `/dns/records/${index}`,
        code: 'duplicate-record',
        message: `${name} is said to be ${address} twice, by ${seen.get(key)} and ${id}`,
        hint: 'Remove one of them.',
      });
    }
    seen.set(key, id);
  }
  if (dns.records.length === 0) return problems;
  const names = new Map(dns.records.map(({ id, name }) => [name, id]));
  for (const [index, { hostname, id }] of dhcpHosts.entries()) {
    const record = names.get(hostname) ?? names.get(`${hostname}.${dns.domain}`);
    if (record === undefined) continue;
    problems.push({
      pointer: `/dhcpHosts/${index}/hostname`,
      code: 'hostname-is-record',
      message: `${id} is called ${hostname}, which is the name of DNS record ${record}`,
      hint: 'Rename the guest, or remove the record.',
    });
  }
  return problems;
};
