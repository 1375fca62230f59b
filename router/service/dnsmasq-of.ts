import type { System } from '../system.ts';
import { Dnsmasq } from './dnsmasq.ts';

const known = new WeakMap<System, Dnsmasq>();

/** The dnsmasq of this router; the same object every time. */
export const dnsmasqOf = (system: System): Dnsmasq => {
  let found = known.get(system);
  if (found === undefined) {
    found = new Dnsmasq(system);
    known.set(system, found);
  }
  return found;
};
