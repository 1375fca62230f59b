import type { DnsmasqConfig, HostNames, HostReservation } from './dnsmasq-config-types.ts';
import { renderAddnHosts, renderHosts } from './render-hosts.ts';
import { hostOptions, renderOptions } from './render-options.ts';
import { renderConfig } from './render-config.ts';

/** What dnsmasq does with a file, named after the option that names it. */
export type FileKind =
  | 'conf'
  | 'dhcp-hostsdir'
  | 'dhcp-hostsfile'
  | 'dhcp-optsdir'
  | 'dhcp-optsfile'
  | 'hostsdir'
  | 'addn-hosts'
  | 'resolv-file';

export interface RenderedFile {
  /** Absolute. */
  readonly path: string;
  readonly kind: FileKind;
  readonly text: string;
}

export type RenderedFiles = readonly RenderedFile[];

export interface DnsmasqSetup {
  /** Private to one dnsmasq; the lease file's folder must be there before the start, and so must the folders of `directories`. */
  readonly directory: string;
  /** Its hosts and options directories are filled in by {@link renderFiles}. */
  readonly config: DnsmasqConfig;
  readonly reservations: readonly HostReservation[];
  readonly names: readonly HostNames[];
}

/** The directories of the layout, which must exist before dnsmasq starts: it watches what is there. */
export function setupDirectories(directory: string): {
  readonly reservations: string;
  readonly names: string;
} {
  return { reservations: `${directory}/dhcp-hosts`, names: `${directory}/hosts` };
}

/**
 * The recommended layout, in which a host is added without a signal: one file for each reservation in a `dhcp-hostsdir`, one file for all
 * names in a `hostsdir`, per-host options in a `dhcp-optsfile`. Pure: give the old and the new answer to `planChange`.
 */
export function renderFiles({ directory, config, reservations, names }: DnsmasqSetup): RenderedFiles {
  const folders = setupDirectories(directory);
  const optionsFile = `${directory}/dhcp-options`;
  const options = reservations.flatMap(hostOptions);
  const complete: DnsmasqConfig = {
    ...config,
    dns: { ...config.dns, hostsDirectories: [...(config.dns.hostsDirectories ?? []), folders.names] },
    ...(config.dhcp === undefined
      ? {}
      : {
          dhcp: {
            ...config.dhcp,
            hostsDirectories: [...(config.dhcp.hostsDirectories ?? []), folders.reservations],
            optionsFiles: [...(config.dhcp.optionsFiles ?? []), optionsFile],
          },
        }),
  };
  return [
    { path: `${directory}/dnsmasq.conf`, kind: 'conf', text: renderConfig(complete) },
    { path: `${folders.names}/names`, kind: 'hostsdir', text: renderAddnHosts(names) },
    ...(config.dhcp === undefined
      ? []
      : [
          { path: optionsFile, kind: 'dhcp-optsfile', text: renderOptions(options) } as const,
          ...reservations.map((host) => ({
            path: `${folders.reservations}/${host.mac.replaceAll(':', '-')}`,
            kind: 'dhcp-hostsdir' as const,
            text: renderHosts([host]),
          })),
        ]),
  ];
}
