/** Does the steps of a link diff over netlink: one batch for each machine that is touched. */
import { links, namespaces, NetlinkError, type NetlinkRequest, type RouteSocket } from 'node-netlink';
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
  // Both ends are made at once where they belong: no moment in which one is elsewhere under its name. Down: see `silence`.
  return links.add({
    kind: 'veth',
    name: a.device,
    mac: a.mac,
    mtu,
    alias,
    up: false,
    peer: { name: b.device, mac: b.mac, mtu, netns: netns(b.machine), alias, up: false },
  });
};

/**
 * Has IPv6 say nothing on a device that is to come up (router solicitations, RFC 4861; listener reports, RFC 9777): that
 * nothing came over its links tells a router that it still stands by. The router switches IPv6 on where it is steered.
 */
const silence = (netns: string, device: string): void => {
  try {
    namespaces.sysctl(netns, { [`net/ipv6/conf/${device}/disable_ipv6`]: 1 });
  } catch (error) {
    // A kernel without IPv6, or a machine that is gone: what follows says so.
    if (!(error instanceof NetlinkError)) throw error;
  }
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

/** One batch for each machine; returns what failed. */
const send = (wanted: readonly Wanted[], places: LinkPlaces): readonly FabricFailure[] =>
  [...Map.groupBy(wanted, ({ machine }) => machine)].flatMap(([machine, group]) =>
    places
      .route(machine)
      .batch(group.map(({ request }) => request))
      .flatMap((error, number) =>
        error === null ? [] : [{ subject: group[number]?.subject ?? '', message: error.message }],
      ),
  );

/** Removals, then additions, down, then what they become and changes; what fails is returned and does not stop the others. */
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
  const made = diff.additions.map(({ subject, link }) => ({
    machine: link.ends[0].machine,
    subject,
    request: addition(link, places.netns),
  }));
  failures.push(...send(made, places));
  const lost = new Set(failures.map(({ subject }) => subject));
  const fresh = diff.additions.filter(({ subject }) => !lost.has(subject));
  for (const { link } of fresh) for (const end of link.ends) silence(places.netns(end.machine), end.device);
  for (const { machine, name, down } of diff.changes) if (down) silence(places.netns(machine), name);
  const changed: readonly Wanted[] = [
    ...fresh.flatMap(({ subject, link }) =>
      link.ends.map((end) => ({
        machine: end.machine,
        subject,
        request: links.set({ name: end.device, up: true }),
      })),
    ),
    ...diff.changes.map(({ subject, machine, index, name, link }) => ({
      machine,
      subject,
      request: change(link, machine, index, name),
    })),
  ];
  failures.push(...send(changed, places));
  return failures;
};
