import type { Applied, ServiceOutlook } from '../feature.ts';
import type { System } from '../system.ts';
import { MetadataServer } from './metadata-server.ts';
import type { RenderedGuest, RenderedMetadata } from './render.ts';

const known = new WeakMap<System, MetadataServer>();

/** The metadata service of this router; the same object every time. */
export const metadataServer = (system: System): MetadataServer => {
  let found = known.get(system);
  if (found === undefined) {
    found = new MetadataServer(system);
    known.set(system, found);
  }
  return found;
};

const same = (a: RenderedGuest, b: RenderedGuest): boolean =>
  a.instance === b.instance &&
  a.userData === b.userData &&
  a.password === b.password &&
  a.keys.size === b.keys.size &&
  [...a.keys].every(([key, value]) => b.keys.get(key) === value);

/** Sentences about guests whose data differ; says which, never what. */
const guestChanges = (before: RenderedMetadata | null, next: RenderedMetadata): string[] => {
  const sentences: string[] = [];
  for (const [address, guest] of next.guests) {
    const old = before?.guests.get(address);
    if (old === undefined || old.id !== guest.id)
      sentences.push(`metadata of ${guest.instance} at ${address}`);
    else if (!same(old, guest)) sentences.push(`metadata of ${guest.instance} at ${address} changed`);
  }
  for (const [address, { instance }] of before?.guests ?? []) {
    if (!next.guests.has(address)) sentences.push(`metadata of ${instance} at ${address} removed`);
  }
  return sentences;
};

/** Listeners to open and close, and guests whose data would be other; never their secrets. */
export const diff = (system: System, next: RenderedMetadata): Promise<string> => {
  const server = metadataServer(system);
  const before = server.current;
  const lines = [
    ...next.listeners
      .filter((address) => before?.listeners.includes(address) !== true)
      .map((address) => `+ listen on ${address}`),
    ...(before?.listeners ?? [])
      .filter((address) => !next.listeners.includes(address))
      .map((address) => `- listen on ${address}`),
    ...server.missing
      .filter((name) => next.listeners.some((address) => name.startsWith(`${address}:`)))
      .map((name) => `+ listen on ${name} (not bound)`),
    ...guestChanges(before, next),
  ];
  return Promise.resolve(lines.map((line) => `metadata: ${line}\n`).join(''));
};

/** Served by this process itself: whoever takes over brings it along. */
export const outlook = (): Promise<ServiceOutlook | null> =>
  Promise.resolve({ name: 'metadata', change: 'none', text: '' });

/** Takes the new data over at once and opens what listeners are missing; never waits for an address to appear. */
export const apply = async (
  system: System,
  next: RenderedMetadata,
  before: RenderedMetadata | null,
): Promise<Applied> => {
  const sentences = before === null ? [] : guestChanges(before, next);
  return { changes: [...(await metadataServer(system).set(next)), ...sentences] };
};

/** Listeners go on trying by themselves; this reopens what was never tried. */
export const heal = async (system: System, current: RenderedMetadata): Promise<Applied> => ({
  changes: await metadataServer(system).set(current),
});
