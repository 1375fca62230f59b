import { isIpv6 } from 'ip';
import type { HostNames, HostReservation, LeaseTime } from './dnsmasq-config-types.ts';
import { fields, file } from './line.ts';
import { hostTag } from './render-options.ts';

export function leaseTimeField(leaseTime: LeaseTime | undefined): string | undefined {
  return leaseTime === undefined ? undefined : String(leaseTime);
}

/** The value of one `dhcp-host`, which is also one line of a dhcp-hostsfile. */
export function renderHost(host: HostReservation): string {
  const tags = [...(host.tags ?? []), ...(host.options?.length ? [hostTag(host)] : [])];
  return fields(
    host.mac,
    ...tags.map((tag) => `set:${tag}`),
    ...host.addresses.map((address) => (isIpv6(address) ? `[${address}]` : address)),
    host.hostname,
    leaseTimeField(host.leaseTime),
  );
}

/** A file for `dhcp-hostsfile` or `dhcp-hostsdir`, in the order given. */
export function renderHosts(hosts: readonly HostReservation[]): string {
  return file(hosts.map(renderHost));
}

/** A file for `addn-hosts` or `hostsdir`, in the form of hosts(5). */
export function renderAddnHosts(hosts: readonly HostNames[]): string {
  return file(
    hosts.map(({ address, names }) => [fields(address), ...names.map((name) => fields(name))].join(' ')),
  );
}
