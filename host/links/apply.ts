/** Does the steps of a link diff over netlink: one batch for each machine that is touched. */
import { links, type NetlinkRequest, type RouteSocket } from 'node-netlink';
import type { MachineLink } from 'documents';
import { type FabricFailure, removeLinks } from '../fabric/apply.ts';
import { linkAlias, type LinkDiff, type ObservedDevice } from './diff.ts';

/** How to reach the machines: a socket in each, and the name of its namespace. */
export interface LinkPlaces {
  readonly route: (machine: string) => RouteSocket;
  readonly netns: (machine: string) => string;
}

/** All devices of one machine. Throws NetlinkError. */
export const observeDevices = (route: RouteSocket): readonly ObservedDevice[] =>
  route.dump(links.dump()).map(({ index, name, kind, alias, mac, mtu, up, parent }) => ({
    index,
    name,
    kind,
    alias,
    mac,
    mtu,
    up,
    parent,
  }));

const addition = (link: MachineLink, netns: (machine: string) => string): NetlinkRequest => {
  const [a, b] = link.ends;
  const { mtu } = link;
  const alias = linkAlias(link);
  // Both ends are made at once where they belong: no moment in which one is elsewhere under its name.
  return links.add({
    kind: 'veth',
    name: a.device,
    mac: a.mac,
    mtu,
    alias,
    up: true,
    peer: { name: b.device, mac: b.mac, mtu, netns: netns(b.machine), alias, up: true },
  });
};

const change = (link: MachineLink, machine: string, index: number, name: string): NetlinkRequest => {
  const end = link.ends.find((one) => one.machine === machine && one.device === name);
  return links.set({
    index,
    mtu: link.mtu,
    alias: linkAlias(link),
    up: true,
    ...(end === undefined ? {} : { mac: end.mac }),
  });
};

interface Wanted {
  readonly machine: string;
  readonly subject: string;
  readonly request: NetlinkRequest;
}

/** Removals, then additions and changes; what fails is returned and does not stop the others. */
export const applyLinks = (diff: LinkDiff, places: LinkPlaces): readonly FabricFailure[] => {
  const failures: FabricFailure[] = [];
  for (const [machine, group] of Map.groupBy(diff.removals, (removal) => removal.machine)) {
    const removals = group.map(({ subject, name, index, reason }) => ({
      type: 'remove-link' as const,
      subject,
      name,
      index,
      machine,
      reason,
    }));
    failures.push(...removeLinks(places.route(machine), removals));
  }
  const wanted: readonly Wanted[] = [
    ...diff.additions.map(({ subject, link }) => ({
      machine: link.ends[0].machine,
      subject,
      request: addition(link, places.netns),
    })),
    ...diff.changes.map(({ subject, machine, index, name, link }) => ({
      machine,
      subject,
      request: change(link, machine, index, name),
    })),
  ];
  for (const [machine, group] of Map.groupBy(wanted, (one) => one.machine)) {
    const errors = places.route(machine).batch(group.map(({ request }) => request));
    for (const [number, error] of errors.entries()) {
      if (error !== null) failures.push({ subject: group[number]?.subject ?? '', message: error.message });
    }
  }
  return failures;
};
