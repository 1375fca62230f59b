import { type Ipv4, type MacAddress, parseIpv4, parseMac } from 'ip';
import type { FileKind, RenderedFile, RenderedFiles } from './rendered-files.ts';

/** In the order of what they cost. `rewrite`: the files alone, dnsmasq sees them by inotify. `reload`: then SIGHUP. */
export type ChangeAction = 'none' | 'rewrite' | 'reload' | 'restart';

export interface PlannedChange {
  readonly action: ChangeAction;
  /** Why it is no less than that, and what else happens. */
  readonly reasons: readonly string[];
  readonly files: {
    /** To be written beside their place under a name that begins with a dot, and renamed into it. */
    readonly write: RenderedFiles;
    /** Paths. To be removed after the others are written. */
    readonly remove: readonly string[];
  };
  /**
   * Reservations that are gone: their leases, where they exist, hold the address until they are released. After the reload by sending
   * `encodeRelease`, or at a restart by `withoutLeases` on the lease file in between.
   */
  readonly releases: readonly { readonly mac: MacAddress; readonly address: Ipv4 }[];
}

interface Entry {
  readonly text: string;
  readonly mac: string;
  readonly addresses: readonly string[];
}

const RANK: Readonly<Record<ChangeAction, number>> = { none: 0, rewrite: 1, reload: 2, restart: 3 };

/** What a changed, added or removed file costs where its content does not matter. */
const FILE_COST: Readonly<
  Record<Exclude<FileKind, 'dhcp-hostsdir' | 'dhcp-optsdir' | 'conf'>, readonly [ChangeAction, string]>
> = {
  'dhcp-hostsfile': ['reload', 'a dhcp-hostsfile is read at start and SIGHUP only'],
  'dhcp-optsfile': ['reload', 'a dhcp-optsfile is read at start and SIGHUP only'],
  'addn-hosts': ['reload', 'an addn-hosts file is read at start and SIGHUP only'],
  hostsdir: ['rewrite', 'names in a hostsdir are added and removed live'],
  'resolv-file': ['rewrite', 'the resolv-file is polled'],
};

function meaningfulLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function linesOf(files: RenderedFiles, kind: FileKind): string[] {
  return files.filter((file) => file.kind === kind).flatMap(({ text }) => meaningfulLines(text));
}

function entry(text: string): Entry {
  const [mac = '', ...rest] = text.split(',');
  return { text, mac, addresses: rest.filter((field) => field.startsWith('[') || parseIpv4(field) !== null) };
}

function reservationsOf(files: RenderedFiles): Entry[] {
  const conf = linesOf(files, 'conf')
    .filter((line) => line.startsWith('dhcp-host='))
    .map((line) => line.slice('dhcp-host='.length));
  return [...conf, ...linesOf(files, 'dhcp-hostsfile'), ...linesOf(files, 'dhcp-hostsdir')].map(entry);
}

/** Whether SIGHUP could crash dnsmasq: a tag set in a file it reads hosts from at SIGHUP. */
function setsTags(files: RenderedFiles): boolean {
  return [...linesOf(files, 'dhcp-hostsfile'), ...linesOf(files, 'dhcp-hostsdir')].some((line) =>
    line.includes(',set:'),
  );
}

function hostsDirectoryCost(before: RenderedFiles, after: RenderedFiles): [ChangeAction, string][] {
  const old = linesOf(before, 'dhcp-hostsdir').map(entry);
  const now = linesOf(after, 'dhcp-hostsdir').map(entry);
  const oldTexts = new Set(old.map(({ text }) => text));
  const nowTexts = new Set(now.map(({ text }) => text));
  const oldMacs = new Set(old.map(({ mac }) => mac));
  const oldAddresses = new Set(old.flatMap(({ addresses }) => addresses));
  const costs: [ChangeAction, string][] = [];
  const removed = old.filter(({ text }) => !nowTexts.has(text));
  if (removed.length > 0) {
    costs.push([
      'reload',
      `${removed.length} reservation(s) of a dhcp-hostsdir removed or changed, the first ${removed[0]?.text}: 2.90 serves the old ones until SIGHUP`,
    ]);
  }
  const added = now.filter(({ text }) => !oldTexts.has(text));
  const clash = added.find(
    ({ mac, addresses }) => oldMacs.has(mac) || addresses.some((address) => oldAddresses.has(address)),
  );
  if (clash !== undefined) {
    costs.push([
      'reload',
      `${clash.text} has a MAC address or an address that was reserved before: 2.90 refuses it until SIGHUP`,
    ]);
  }
  if (added.length > 0)
    costs.push(['rewrite', `${added.length} reservation(s) added to a dhcp-hostsdir: live by inotify`]);
  return costs;
}

function optionsDirectoryCost(before: RenderedFiles, after: RenderedFiles): [ChangeAction, string][] {
  const old = linesOf(before, 'dhcp-optsdir');
  const now = linesOf(after, 'dhcp-optsdir');
  // What an option is for: everything before its value. A second value for the same would stand beside the first.
  const subject = (line: string): string => /^(?:tag:[^,]*,)*[^,]*/.exec(line)?.[0] ?? line;
  const subjects = new Set(old.map(subject));
  const costs: [ChangeAction, string][] = [];
  if (old.some((line) => !now.includes(line))) {
    costs.push([
      'reload',
      'an option of a dhcp-optsdir removed or changed: 2.90 sends the old one until SIGHUP',
    ]);
  }
  const added = now.filter((line) => !old.includes(line));
  if (added.some((line) => subjects.has(subject(line))))
    costs.push(['reload', 'an option of a dhcp-optsdir got another value']);
  if (added.length > 0) costs.push(['rewrite', 'an option added to a dhcp-optsdir: live by inotify']);
  return costs;
}

function goneReservations(before: RenderedFiles, after: RenderedFiles): PlannedChange['releases'] {
  const kept = new Set(
    reservationsOf(after).flatMap(({ mac, addresses }) => addresses.map((address) => `${mac} ${address}`)),
  );
  return reservationsOf(before).flatMap(({ mac: macText, addresses }) =>
    addresses.flatMap((text) => {
      const mac = parseMac(macText);
      const address = parseIpv4(text);
      return mac === null || address === null || kept.has(`${macText} ${text}`) ? [] : [{ mac, address }];
    }),
  );
}

/** What a changed set of files costs a dnsmasq 2.90 that runs on the old one; each rule is measured (README). */
export function planChange(before: RenderedFiles, after: RenderedFiles): PlannedChange {
  const oldFiles = new Map(before.map((file) => [file.path, file]));
  const newFiles = new Map(after.map((file) => [file.path, file]));
  const write = after.filter(({ path, text, kind }) => {
    const old = oldFiles.get(path);
    return old === undefined || old.text !== text || old.kind !== kind;
  });
  const remove = before.filter(({ path }) => !newFiles.has(path));
  const touched: readonly RenderedFile[] = [
    ...write,
    ...remove,
    ...write.flatMap(({ path }) => oldFiles.get(path) ?? []),
  ];

  const costs: [ChangeAction, string][] = [];
  if (linesOf(before, 'conf').join('\n') !== linesOf(after, 'conf').join('\n')) {
    costs.push(['restart', 'the configuration file is read at start only']);
  }
  for (const kind of new Set(touched.map((file) => file.kind))) {
    if (kind === 'conf') costs.push(['rewrite', 'the configuration file is written']);
    else if (kind === 'dhcp-hostsdir')
      costs.push(['rewrite', 'files of a dhcp-hostsdir'], ...hostsDirectoryCost(before, after));
    else if (kind === 'dhcp-optsdir')
      costs.push(['rewrite', 'files of a dhcp-optsdir'], ...optionsDirectoryCost(before, after));
    else costs.push([...FILE_COST[kind]]);
  }
  const wanted = costs.reduce<ChangeAction>(
    (worst, [action]) => (RANK[action] > RANK[worst] ? action : worst),
    'none',
  );
  const crashes = wanted === 'reload' && (setsTags(before) || setsTags(after));
  return {
    action: crashes ? 'restart' : wanted,
    reasons: [
      ...(crashes ? ['set: in a hosts file crashes dnsmasq 2.90 at SIGHUP, so it is restarted instead'] : []),
      ...costs.filter(([action]) => action === wanted).map(([, reason]) => reason),
    ],
    files: { write, remove: remove.map(({ path }) => path) },
    releases: goneReservations(before, after),
  };
}
