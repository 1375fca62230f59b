/** From the links found in the machines and those the document wants to the steps between them. Pure. */
import type { HostDocument, MachineLink } from 'documents';
import { deviceAlias, parseDeviceAlias } from '../names.ts';

/** A device in a machine, as far as links are concerned. */
export interface ObservedDevice {
  readonly index: number;
  readonly name: string;
  /** `veth` for an end of a link. */
  readonly kind: string | null;
  readonly alias: string | null;
  readonly mac: string | null;
  readonly mtu: number;
  readonly up: boolean;
  /** Index of the other end, in whatever namespace that is. */
  readonly parent: number | null;
}

export type ObservedDevices = ReadonlyMap<string, readonly ObservedDevice[]>;

interface Step {
  /** Id of the link. */
  readonly subject: string;
  readonly reason: string;
}

export type RemoveEnd = Step & { readonly machine: string; readonly name: string; readonly index: number };
export type AddLink = Step & { readonly link: MachineLink };
export type SetEnd = Step & {
  readonly machine: string;
  readonly name: string;
  readonly index: number;
  readonly link: MachineLink;
  /** Whether it is down, which it is until its making has ended. */
  readonly down: boolean;
};

export interface LinkDiff {
  /** First of all: what nobody wants, and what is in the way. */
  readonly removals: readonly RemoveEnd[];
  readonly additions: readonly AddLink[];
  readonly changes: readonly SetEnd[];
  readonly problems: readonly { readonly subject: string; readonly message: string }[];
}

/** Links both of whose machines are to run. */
export const wantedLinks = (document: Pick<HostDocument, 'links' | 'machines'>): readonly MachineLink[] => {
  if (document.links === undefined || document.links.length === 0) return [];
  const running = new Set(
    document.machines.filter((machine) => machine.state === 'running').map((machine) => machine.id),
  );
  return document.links.filter((link) => link.ends.every((end) => running.has(end.machine)));
};

/** Both ends carry the same alias, which says all that makes the link this one; its MTU can change. */
export const linkAlias = (link: MachineLink): string =>
  deviceAlias('link', link.id, link.ends.map((end) => `${end.machine} ${end.device} ${end.mac}`).join(' '));

type End = MachineLink['ends'][number];

const endDifferences = (device: ObservedDevice, end: End, link: MachineLink): string =>
  [
    device.alias === linkAlias(link) ? '' : 'has no alias',
    device.mac === end.mac ? '' : `has MAC ${device.mac}`,
    device.mtu === link.mtu ? '' : `has MTU ${device.mtu}`,
    device.up ? '' : 'is down',
  ]
    .filter(Boolean)
    .join(', ');

const joined = (a: ObservedDevice, b: ObservedDevice): boolean =>
  a.kind === 'veth' && b.kind === 'veth' && a.parent === b.index && b.parent === a.index;

interface Found {
  readonly end: End;
  readonly device: ObservedDevice | undefined;
}

/** One link: kept with its differences, or made anew after what holds its names has gone. */
const diffLink = (
  link: MachineLink,
  found: readonly [Found, Found],
): Pick<LinkDiff, 'removals' | 'additions' | 'changes' | 'problems'> & { readonly kept: boolean } => {
  const alias = linkAlias(link);
  const [a, b] = found;
  // Without an alias on either it is one whose making was interrupted after the first message.
  const ours = (device: ObservedDevice) => device.alias === alias || device.alias === null;
  if (a.device !== undefined && b.device !== undefined && joined(a.device, b.device)) {
    if (ours(a.device) && ours(b.device)) {
      const changes = found.flatMap(({ end, device }): SetEnd[] => {
        const differs = device === undefined ? '' : endDifferences(device, end, link);
        if (device === undefined || differs === '') return [];
        const reason = `link device ${device.name} of ${end.machine} ${differs}`;
        const { name, index, up } = device;
        return [{ subject: link.id, machine: end.machine, name, index, link, down: !up, reason }];
      });
      return { kept: true, removals: [], additions: [], changes, problems: [] };
    }
  }
  const inTheWay = found.flatMap(({ end, device }) => (device === undefined ? [] : [{ end, device }]));
  const foreign = inTheWay.find(({ device }) => parseDeviceAlias(device.alias) === null);
  if (foreign !== undefined) {
    const message = `There is a device ${foreign.device.name} in ${foreign.end.machine} that is not Selvage's; remove or rename it`;
    return {
      kept: false,
      removals: [],
      additions: [],
      changes: [],
      problems: [{ subject: link.id, message }],
    };
  }
  return {
    kept: false,
    removals: inTheWay.map(({ end, device }) => ({
      subject: link.id,
      machine: end.machine,
      name: device.name,
      index: device.index,
      reason: `${device.name} of ${end.machine} joined something else (${device.alias})`,
    })),
    additions: [{ subject: link.id, link, reason: `link ${link.id} was missing` }],
    changes: [],
    problems: [],
  };
};

/**
 * The steps from `observed` to `wanted`. Machines that were not looked at are left out of it: links that end in one are
 * neither made nor removed.
 */
export const diffLinks = (observed: ObservedDevices, wanted: readonly MachineLink[]): LinkDiff => {
  const removals: RemoveEnd[] = [];
  const additions: AddLink[] = [];
  const changes: SetEnd[] = [];
  const problems: { readonly subject: string; readonly message: string }[] = [];
  /** `<machine> <index>` of devices that are dealt with. */
  const settled = new Set<string>();
  const untouched = new Set<string>();
  for (const link of wanted) {
    if (link.ends.some((end) => !observed.has(end.machine))) {
      untouched.add(linkAlias(link));
      continue;
    }
    const found = link.ends.map(
      (end): Found => ({
        end,
        device: observed.get(end.machine)?.find((device) => device.name === end.device),
      }),
    ) as [Found, Found];
    const one = diffLink(link, found);
    for (const { end, device } of found) {
      if (one.kept && device !== undefined) settled.add(`${end.machine} ${device.index}`);
    }
    for (const removal of one.removals) settled.add(`${removal.machine} ${removal.index}`);
    removals.push(...one.removals);
    additions.push(...one.additions);
    changes.push(...one.changes);
    problems.push(...one.problems);
  }
  for (const [machine, devices] of observed) {
    for (const { alias, name, index } of devices) {
      const parsed = parseDeviceAlias(alias);
      if (parsed?.kind !== 'link' || settled.has(`${machine} ${index}`) || untouched.has(alias ?? ''))
        continue;
      const reason = `${name} of ${machine} belongs to nothing wanted`;
      removals.push({ subject: parsed.id, machine, name, index, reason });
    }
  }
  return { removals, additions, changes, problems };
};
