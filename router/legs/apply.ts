import { type Address, addresses, type Link, links, type NetlinkRequest } from 'node-netlink';
import type { Applied, Waiting } from '../feature.ts';
import type { System } from '../system.ts';
import type { RenderedLegs, WantedLink } from './render.ts';

interface Step {
  readonly request: NetlinkRequest;
  readonly sentence: string;
  /** Done before anything is taken away. */
  readonly adds: boolean;
}

/** The difference between the links there are and the wanted ones. */
interface LinkPlan {
  readonly steps: readonly Step[];
  readonly waiting: readonly Waiting[];
}

/** Addresses the kernel made itself are its own. */
const isOurs = (address: Address): boolean =>
  address.scope === 'global' || (address.family === 'ipv4' && address.scope !== 'host');

const addressStep = (device: string, address: string): Step => ({
  // Duplicates are excluded by the controller; detection would keep an IPv6 address unusable for a second.
  request: addresses.add({ dev: device, address, ...(address.includes(':') ? { noDad: true } : {}) }),
  sentence: `added address ${address} to ${device}`,
  adds: true,
});

const linkSteps = (wanted: WantedLink, link: Link, present: readonly Address[]): Step[] => {
  const { device } = wanted;
  const steps: Step[] = [];
  if (link.mac !== wanted.mac) {
    const request = links.set({ index: link.index, mac: wanted.mac });
    steps.push({ request, sentence: `set the MAC of ${device} to ${wanted.mac}`, adds: true });
  }
  if (link.mtu !== wanted.mtu) {
    const request = links.set({ index: link.index, mtu: wanted.mtu });
    steps.push({ request, sentence: `set the MTU of ${device} to ${wanted.mtu}`, adds: true });
  }
  if (!link.up) {
    steps.push({
      request: links.set({ index: link.index, up: true }),
      sentence: `brought ${device} up`,
      adds: true,
    });
  }
  const ours = present.filter((address) => address.link === link.index && isOurs(address));
  const there = new Set(ours.map(({ address }) => address));
  for (const address of wanted.addresses) {
    if (!there.has(address)) steps.push(addressStep(device, address));
  }
  const keep = new Set(wanted.addresses);
  for (const { address } of ours) {
    if (keep.has(address)) continue;
    steps.push({
      request: addresses.remove({ dev: link.index, address }),
      sentence: `removed address ${address} from ${device}`,
      adds: false,
    });
  }
  return steps;
};

const planLinks = (system: System, wanted: readonly WantedLink[]): LinkPlan => {
  const present = system.route.dump(links.dump());
  const held = system.route.dump(addresses.dump());
  const byName = new Map(present.map((link) => [link.name, link]));
  const steps: Step[] = [];
  const waiting: Waiting[] = [];
  for (const loopback of present) {
    if (loopback.loopback && !loopback.up) {
      const request = links.set({ index: loopback.index, up: true });
      steps.push({ request, sentence: `brought ${loopback.name} up`, adds: true });
    }
  }
  for (const leg of wanted) {
    const link = byName.get(leg.device);
    if (link === undefined) {
      waiting.push({
        reason: 'LegMissing',
        message: `There is no device ${leg.device} (${leg.mac}) for leg ${leg.leg}; the host agent makes it`,
      });
      continue;
    }
    steps.push(...linkSteps(leg, link, held));
  }
  return { steps, waiting };
};

/** Settings that differ; one that this kernel lacks is none of ours. */
const differing = async (system: System, rendered: RenderedLegs): Promise<RenderedLegs['settings']> => {
  const { settings } = system;
  if (settings === undefined) return [];
  const differ: (readonly [string, string])[] = [];
  for (const [path, value] of rendered.settings) {
    const current = await settings.read(path);
    if (current !== null && current.replaceAll(/\s+/g, ' ') !== value) differ.push([path, value]);
  }
  return differ;
};

const inWords = ([path, value]: readonly [string, string]): string =>
  `set ${path.replaceAll('/', '.')} to ${value}`;

const applySettings = async (system: System, rendered: RenderedLegs): Promise<string[]> => {
  const differ = await differing(system, rendered);
  for (const [path, value] of differ) await system.settings?.write(path, value);
  return differ.map(inWords);
};

/** Brings links, addresses and settings to what is wanted: adds first, then removes. */
export const applyLegs = async (system: System, next: RenderedLegs): Promise<Applied> => {
  const changes = await applySettings(system, next);
  const { steps, waiting } = planLinks(system, next.links);
  const ordered = [...steps.filter(({ adds }) => adds), ...steps.filter(({ adds }) => !adds)];
  const errors = system.route.batch(ordered.map(({ request }) => request));
  const failed = errors.filter((error) => error !== null && error.code !== 'netlink-exists');
  if (failed.length > 0) {
    throw new AggregateError(failed, failed.map((error) => error?.message).join('; '));
  }
  return { changes: [...changes, ...ordered.map(({ sentence }) => sentence)], waiting };
};

/** What {@link applyLegs} would change. */
export const diffLegs = async (system: System, next: RenderedLegs): Promise<string> => {
  const { steps, waiting } = planLinks(system, next.links);
  return [
    ...(await differing(system, next)).map((setting) => `link: ${inWords(setting)}`),
    ...steps.map(({ sentence }) => `link: ${sentence}`),
    ...waiting.map(({ message }) => `# ${message}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
};
