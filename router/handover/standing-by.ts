import type { RouterDocument } from 'documents';
import { links } from 'node-netlink';
import { raiseMembers } from '../loadbalancer/health-state.ts';
import type { System } from '../system.ts';

/** Twice before haproxy's third failed check (`serverOptions`), ms. */
const RAISE_EVERY = 2_000;

type Place = Pick<RouterDocument, 'handover'>;

const timers = new WeakMap<System, NodeJS.Timeout>();
const followers = new WeakMap<System, () => boolean>();

/** Has a router count as standing by while it follows an active one (sync). */
export const standsByWhile = (system: System, follows: () => boolean): void => {
  followers.set(system, follows);
};

/**
 * Whether this router is a successor that the older one has not handed anything to yet. Nothing else comes over the links:
 * their neighbours are fixed, and IPv6 does not speak there by itself.
 */
const isStandingBy = (system: System, { handover }: Place): boolean => {
  if (handover === undefined || handover.older.length === 0) return false;
  if (handover.newer.some(({ receiveOnly }) => receiveOnly !== true)) return false;
  const devices = new Set(handover.older.map(({ device }) => device));
  return system.route
    .dump(links.dump())
    .every(({ name, statistics }) => !devices.has(name) || (statistics?.rxPackets ?? 0) === 0);
};

/**
 * Whether frames for this router's MACs go to another one, so that it gets no answer to whatever it asks: it is a successor
 * before the hand-over, or the standby of an active router.
 */
export const standsBy = (system: System, place: Place): boolean =>
  isStandingBy(system, place) || followers.get(system)?.() === true;

/**
 * Counts members as answering for as long as this router stands by: the answers to its health checks reach the active one,
 * and new connections that come with the hand-over must not meet a balancer that holds everybody for dead. It ends with the
 * first packet from the older router, which is the answer to a check at the latest. `place` is asked for when it is needed.
 */
export const raiseWhileStandingBy = async (
  system: System,
  place: () => Place | null,
  members: readonly string[],
): Promise<void> => {
  clearInterval(timers.get(system));
  if (members.length === 0) return;
  const timer = setInterval(() => {
    const now = place();
    if (now === null || !isStandingBy(system, now)) clearInterval(timer);
    // One that fails is followed by the next.
    else raiseMembers(system, members).catch(() => undefined);
  }, RAISE_EVERY);
  timer.unref();
  timers.set(system, timer);
  await raiseMembers(system, members);
};
