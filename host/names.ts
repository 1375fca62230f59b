/** What things of a host agent are called: namespaces, devices, aliases. One place, so that programs agree and a clean-up finds all. */

/** Where `ip netns` keeps its namespaces; see ip-netns(8). */
export const namespaceDirectory = '/run/netns';

/** Per-namespace replacements of files in /etc; see ip-netns(8). */
export const namespaceEtc = '/etc/netns';

/** Namespace that holds the bridges and the host ends of ports. */
export const fabricNamespace = (prefix: string): string => `${prefix}-fabric`;

/** Namespace of a machine, router or guest. */
export const machineNamespace = (prefix: string, id: string): string => `${prefix}-${id}`;

/** Path of a namespace that `ip netns` knows by this name. */
export const namespacePath = (namespace: string): string => `${namespaceDirectory}/${namespace}`;

/** What an alias of one of our devices says. `detail` is what a port or a link joins: machine, device and MAC of each end. */
export interface DeviceAlias {
  readonly kind: string;
  readonly id: string;
  readonly detail: string;
}

/** `selvage:<kind>:<id>`, followed by a blank and details where there are any. */
export const deviceAlias = (kind: 'segment' | 'port' | 'link', id: string, detail = ''): string =>
  `selvage:${kind}:${id}${detail === '' ? '' : ` ${detail}`}`;

/** Reads an alias; null for devices that are not ours, which are never removed. */
export const parseDeviceAlias = (alias: string | null): DeviceAlias | null => {
  const found = /^selvage:([a-z]+):([a-z0-9-]+)(?: (.*))?$/.exec(alias ?? '');
  return found === null ? null : { kind: found[1] as string, id: found[2] as string, detail: found[3] ?? '' };
};

/** Names of namespaces that belong to a prefix: the fabric, the lab's upstream, machines. `sv` does not claim those of `sv-b`. */
export const belongsToPrefix = (
  prefix: string,
  namespace: string,
  machines: ReadonlySet<string>,
): boolean => {
  if (!namespace.startsWith(`${prefix}-`)) return false;
  const rest = namespace.slice(prefix.length + 1);
  return (
    rest === 'fabric' || rest === 'internet' || machines.has(rest) || /^(?:rtr|ins|prb)-[0-9a-z]+$/.test(rest)
  );
};
