import {
  addresses,
  type Link,
  links,
  type Neighbour,
  neighbours,
  type NeighbourState,
  type NetlinkRequest,
} from 'node-netlink';
import type { Applied, Waiting } from '../feature.ts';
import type { System } from '../system.ts';
import type { NeighbourKeeping, RenderedHandover, WantedHandoverLink } from './render.ts';
import { steeringOf } from './steering.ts';

interface Step {
  readonly request: NetlinkRequest;
  readonly sentence: string;
}

/** What to do around the steering table. */
interface HandoverPlan {
  readonly links: readonly Step[];
  /** Neighbours on the legs that the document names. */
  readonly pinned: readonly Step[];
  /** Neighbours on the legs that were learned. */
  readonly learned: readonly Step[];
  readonly waiting: readonly Waiting[];
  /** Devices of links that are there. */
  readonly present: ReadonlySet<string>;
}

/** States that say whose an address is. */
const VALID: ReadonlySet<NeighbourState> = new Set(['reachable', 'stale', 'delay', 'probe', 'permanent']);

const place = (link: number, address: string): string => `${link} ${address}`;

const linkSteps = (
  wanted: WantedHandoverLink,
  link: Link,
  held: ReadonlySet<string>,
  near: ReadonlyMap<string, Neighbour>,
): Step[] => {
  const { device, mac, address } = wanted;
  const steps: Step[] = [];
  if (link.mac !== mac) {
    const request = links.set({ index: link.index, mac });
    steps.push({ request, sentence: `set the MAC of ${device} to ${mac}` });
  }
  if (!link.up) {
    steps.push({ request: links.set({ index: link.index, up: true }), sentence: `brought ${device} up` });
  }
  if (!held.has(place(link.index, address))) {
    const request = addresses.add({ dev: link.index, address });
    steps.push({ request, sentence: `added address ${address} to ${device}` });
  }
  for (const neighbour of wanted.neighbours) {
    const there = near.get(place(link.index, neighbour.address));
    // A link that comes up or changes its MAC forgets its neighbours: they are written again then.
    if (steps.length === 0 && there?.state === 'permanent' && there.mac === neighbour.mac) continue;
    steps.push({
      request: neighbours.replace({ dev: link.index, ...neighbour, state: 'permanent' }),
      sentence: `set neighbour ${neighbour.address} of ${device} to ${neighbour.mac}`,
    });
  }
  return steps;
};

/** The state in which an entry is kept that the document does not know; null to leave it alone. */
const kept = (keeping: NeighbourKeeping, state: NeighbourState): NeighbourState | null => {
  if (keeping === 'pinned') return state === 'permanent' ? null : 'permanent';
  if (keeping === 'trusted') return state === 'reachable' ? null : 'reachable';
  // Usable at once, and asked for when it is used.
  return state === 'permanent' ? 'stale' : null;
};

const neighbourSteps = (
  { keeping, known, devices }: RenderedHandover,
  byName: ReadonlyMap<string, Link>,
  near: ReadonlyMap<string, Neighbour>,
): Pick<HandoverPlan, 'pinned' | 'learned'> => {
  const pinned: Step[] = [];
  const learned: Step[] = [];
  const settled = new Set<string>();
  for (const { device, address, mac } of known) {
    const link = byName.get(device);
    if (link === undefined || !link.up) continue;
    const key = place(link.index, address);
    settled.add(key);
    const there = near.get(key);
    if (there?.state === 'permanent' && there.mac === mac) continue;
    pinned.push({
      request: neighbours.replace({ dev: link.index, address, mac, state: 'permanent' }),
      sentence: `pinned neighbour ${address} of ${device} to ${mac}`,
    });
  }
  const legs = new Map(
    devices.flatMap((name) => byName.get(name) ?? []).map((link) => [link.index, link.name]),
  );
  for (const [key, { link, address, mac, state, proxy }] of near) {
    const device = legs.get(link);
    if (device === undefined || settled.has(key) || proxy || mac === null || !VALID.has(state)) continue;
    const next = kept(keeping, state);
    if (next !== 'permanent' && next !== 'reachable' && next !== 'stale') continue;
    learned.push({
      request: neighbours.replace({ dev: link, address, mac, state: next }),
      sentence: `made neighbour ${address} of ${device} ${next}`,
    });
  }
  return { pinned, learned };
};

const plan = (system: System, next: RenderedHandover): HandoverPlan => {
  const byName = new Map(system.route.dump(links.dump()).map((link) => [link.name, link]));
  const near = new Map(
    system.route.dump(neighbours.dump()).map((one) => [place(one.link, one.address), one]),
  );
  const held = new Set(
    next.links.length === 0
      ? []
      : system.route.dump(addresses.dump()).map(({ link, address }) => place(link, address)),
  );
  const steps: Step[] = [];
  const waiting: Waiting[] = [];
  const present = new Set<string>();
  for (const wanted of next.links) {
    const link = byName.get(wanted.device);
    if (link === undefined) {
      waiting.push({
        reason: 'LinkMissing',
        message: `There is no device ${wanted.device} (${wanted.mac}) for hand-over link ${wanted.id}; the host agent makes it`,
      });
      continue;
    }
    present.add(wanted.device);
    steps.push(...linkSteps(wanted, link, held, near));
  }
  return { links: steps, ...neighbourSteps(next, byName, near), waiting, present };
};

const perform = (system: System, steps: readonly Step[]): readonly string[] => {
  const failed = system.route
    .batch(steps.map(({ request }) => request))
    .filter((error) => error !== null && error.code !== 'netlink-exists');
  if (failed.length > 0) throw new AggregateError(failed, failed.map((error) => error?.message).join('; '));
  return steps.map(({ sentence }) => sentence);
};

/** Settings that differ. Those of a device that is not there wait with it. */
const differing = async (
  system: System,
  { settings: wanted }: RenderedHandover,
): Promise<RenderedHandover['settings']> => {
  const { settings } = system;
  if (settings === undefined) return [];
  const read = await Promise.all(wanted.map(([path]) => settings.read(path)));
  return wanted.filter(([, value], index) => read[index] !== null && read[index] !== value);
};

/** Path of a setting about neighbours of a leg. */
const ABOUT_NEIGHBOURS = /^ipv[46]\/neigh\//;

interface Done {
  readonly corrections: readonly string[];
  /** What was done about neighbours: a leg that comes up has none, and others are learned, so this is no drift. */
  readonly neighbours: readonly string[];
  readonly waiting: readonly Waiting[];
}

const bringAbout = async (system: System, next: RenderedHandover): Promise<Done> => {
  const corrections: string[] = [];
  const about: string[] = [];
  for (const [path, value] of await differing(system, next)) {
    // An empty value is a line too.
    await system.settings?.write(path, value === '' ? '\n' : value);
    const sentence = `set ${path.replaceAll('/', '.')} to ${value === '' ? 'nothing' : value}`;
    (ABOUT_NEIGHBOURS.test(path) ? about : corrections).push(sentence);
  }
  const planned = plan(system, next);
  corrections.push(...perform(system, planned.links));
  about.push(...perform(system, planned.pinned));
  const keeping = next.keeping !== 'free';
  if (keeping) about.push(...perform(system, planned.learned));
  corrections.push(...(await steeringOf(system).apply(next, planned.present)));
  // Let go only once packets no longer take the links.
  if (!keeping) about.push(...perform(system, planned.learned));
  return { corrections, neighbours: about, waiting: planned.waiting };
};

/**
 * Links, then neighbours, then the steering: in that order nothing is ever sent where nobody takes it. The steering is one
 * transaction, and in the older router that transaction is the hand-over.
 */
export const applyHandover = async (system: System, next: RenderedHandover): Promise<Applied> => {
  const { corrections, neighbours: about, waiting } = await bringAbout(system, next);
  return { changes: [...corrections, ...about], waiting };
};

/** The same, but tells of corrections only. */
export const healHandover = async (system: System, current: RenderedHandover): Promise<Applied> => {
  const { corrections, waiting } = await bringAbout(system, current);
  return { changes: corrections, waiting };
};

/** What {@link applyHandover} would change, but for neighbours that were learned: they come and go by themselves. */
export const diffHandover = async (system: System, next: RenderedHandover): Promise<string> => {
  const { links: steps, pinned, waiting, present } = plan(system, next);
  const { text } = await steeringOf(system).plan(next, present);
  return [
    ...(await differing(system, next)).map(([path, value]) => `handover: set ${path} to ${value}\n`),
    ...[...steps, ...pinned].map(({ sentence }) => `handover: ${sentence}\n`),
    text,
    ...waiting.map(({ message }) => `# ${message}\n`),
  ].join('');
};
