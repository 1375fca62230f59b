import type { System } from '../system.ts';
import { Service, type ServiceCondition } from './service.ts';

/** A feature is stateless; what it keeps about a running router hangs on that router's System and goes with it. */
const known = new WeakMap<System, Map<string, Service>>();

const servicesOf = (system: System): Map<string, Service> => {
  let services = known.get(system);
  if (services === undefined) {
    services = new Map();
    known.set(system, services);
  }
  return services;
};

/** The service of that name in this router; the same object every time. */
export const service = (system: System, name: string): Service => {
  const services = servicesOf(system);
  let found = services.get(name);
  if (found === undefined) {
    found = new Service(system, name);
    services.set(name, found);
  }
  return found;
};

/** One condition for each service that is wanted: `DnsmasqRunning`, `HaproxyRunning`. */
export const serviceConditions = (system: System): ServiceCondition[] =>
  [...servicesOf(system).values()].flatMap(({ condition }) => (condition === null ? [] : [condition]));

/** Lets go of all services, which run on. The last thing a router daemon does with them. */
export const releaseServices = (system: System): void => {
  for (const each of servicesOf(system).values()) each.release();
};
