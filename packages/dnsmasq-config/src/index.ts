/** Typed dnsmasq configuration, reservations, names and leases, and what a change of them costs. Pure: no I/O, no clock. */
export type { DhcpOption, DhcpOptionValue } from './dhcp-option.ts';
export { DnsmasqConfigError } from './dnsmasq-config-error.ts';
export type {
  DhcpConfig,
  DhcpRange,
  DnsConfig,
  DnsmasqConfig,
  DynamicRange4,
  HostNames,
  HostReservation,
  LeaseTime,
  Range6,
  Range6Mode,
  RouterAdvertisement,
  StaticRange4,
  UpstreamServer,
} from './dnsmasq-config-types.ts';
export { encodeRelease, type Release } from './encode-release.ts';
export {
  type Lease,
  type Lease4,
  type Lease6,
  parseLeases,
  parseServerDuid,
  renderLeases,
  staleLeases,
  withoutLeases,
} from './lease.ts';
export { type ChangeAction, type PlannedChange, planChange } from './plan-change.ts';
export type { Problem } from './problem.ts';
export { renderConfig } from './render-config.ts';
export { renderAddnHosts, renderHost, renderHosts } from './render-hosts.ts';
export { hostOptions, hostTag, renderOption, renderOptions } from './render-options.ts';
export {
  type DnsmasqSetup,
  type FileKind,
  type RenderedFile,
  type RenderedFiles,
  renderFiles,
  setupDirectories,
} from './rendered-files.ts';
export { isDomainName, isHostLabel } from './syntax.ts';
export { verifyConfig } from './verify-config.ts';
export { verifyHosts, verifyNames } from './verify-hosts.ts';
