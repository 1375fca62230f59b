import type { DhcpOption, DhcpOptionValue } from './dhcp-option.ts';
import type { HostReservation } from './dnsmasq-config-types.ts';
import { fields, file } from './line.ts';

function valueFields(family: 4 | 6, value: DhcpOptionValue): readonly string[] {
  const address = (text: string): string => (family === 6 ? `[${text}]` : text);
  switch (value.type) {
    case 'none':
      return [];
    case 'addresses':
      return value.addresses.map(address);
    case 'number':
      return [`${value.value}${{ 1: 'b', 2: 's', 4: 'i' }[value.octets]}`];
    case 'text':
      return [value.text];
    case 'names':
      return value.names;
    case 'octets':
      // One pair of digits without a colon would be read as a decimal number.
      if (value.octets.length === 1) return [`${value.octets[0]}b`];
      return [value.octets.map((octet) => octet.toString(16).padStart(2, '0')).join(':')];
    case 'routes':
      return value.routes.flatMap(({ to, via }) => [to, via]);
  }
}

/** The value of one `dhcp-option`, which is also one line of a dhcp-optsfile. */
export function renderOption({ family, code, value, tags = [] }: DhcpOption): string {
  return fields(
    ...tags.map((tag) => `tag:${tag}`),
    family === 6 ? `option6:${code}` : code,
    ...valueFields(family, value),
  );
}

/** The tag that a host's own options hang on. */
export function hostTag({ mac }: HostReservation): string {
  return `host-${mac.replaceAll(':', '')}`;
}

/** A host's own options, each with the host's tag. */
export function hostOptions(host: HostReservation): DhcpOption[] {
  return (host.options ?? []).map((option) => ({ ...option, tags: [hostTag(host), ...(option.tags ?? [])] }));
}

/** A file for `dhcp-optsfile` or `dhcp-optsdir`. Neither can force an option: `force` works in the configuration file only. */
export function renderOptions(options: readonly DhcpOption[]): string {
  return file(options.map(renderOption));
}
