import { type Link, links, type NetlinkRequest, type Route, routes } from 'node-netlink';
import type { Applied } from '../feature.ts';
import type { System } from '../system.ts';
import type { WantedRoute } from './render.ts';

/** Marks routes as ours (`ip route` shows `proto static`): others in the namespace are left alone. */
const PROTOCOL = 'static';
/** linux/rtnetlink.h RT_TABLE_MAIN. */
const MAIN = 254;

interface Step {
  readonly request: NetlinkRequest;
  readonly sentence: string;
}

const sameWay = (route: Route, wanted: WantedRoute, link: number): boolean =>
  route.via === wanted.via &&
  route.link === link &&
  (wanted.preferredSource === null || route.preferredSource === wanted.preferredSource);

/** Routes to set and to remove; those whose device is missing or down wait for it (the legs feature says so). */
const planRoutes = (system: System, wanted: readonly WantedRoute[]): readonly Step[] => {
  const devices = new Map(system.route.dump(links.dump()).map((link: Link) => [link.name, link]));
  const ours = system.route
    .dump(routes.dump())
    .filter((route) => route.protocol === PROTOCOL && route.table === MAIN);
  const keyOf = (of: { readonly family: string; readonly destination: string }): string =>
    `${of.family} ${of.destination}`;
  const present = new Map(ours.map((route) => [keyOf(route), route]));
  const kept = new Set<string>();
  const steps: Step[] = [];
  for (const route of wanted) {
    const link = devices.get(route.device);
    kept.add(keyOf(route));
    if (link === undefined || !link.up) continue;
    const there = present.get(keyOf(route));
    if (there !== undefined && sameWay(there, route, link.index)) continue;
    const { family, destination, via, device, preferredSource } = route;
    steps.push({
      request: routes.replace({
        family,
        destination,
        via,
        dev: link.index,
        protocol: PROTOCOL,
        ...(preferredSource === null ? {} : { preferredSource }),
      }),
      sentence: `set route ${destination} via ${via} dev ${device}`,
    });
  }
  for (const route of ours) {
    if (kept.has(keyOf(route))) continue;
    const { family, destination, via, link } = route;
    steps.push({
      request: routes.remove({
        family,
        destination,
        ...(via === null ? {} : { via }),
        ...(link === null ? {} : { dev: link }),
        protocol: PROTOCOL,
      }),
      sentence: `removed route ${destination}${via === null ? '' : ` via ${via}`}`,
    });
  }
  return steps;
};

/** Brings the routes to what is wanted. */
export const applyRoutes = async (system: System, next: readonly WantedRoute[]): Promise<Applied> => {
  const steps = planRoutes(system, next);
  const failed = system.route.batch(steps.map(({ request }) => request)).filter((error) => error !== null);
  if (failed.length > 0) throw new AggregateError(failed, failed.map((error) => error.message).join('; '));
  return { changes: steps.map(({ sentence }) => sentence) };
};

/** What {@link applyRoutes} would change. */
export const diffRoutes = async (system: System, next: readonly WantedRoute[]): Promise<string> =>
  planRoutes(system, next)
    .map(({ sentence }) => `route: ${sentence}\n`)
    .join('');
