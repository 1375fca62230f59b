import type { Problem } from 'documents';
import type { Applied, ServiceOutlook } from '../feature.ts';
import { dnsmasqOf } from '../service/dnsmasq-of.ts';
import type { System } from '../system.ts';
import type { RenderedDhcp } from './render.ts';

/** Asks `dnsmasq --test`. */
export const check = (system: System, next: RenderedDhcp): Promise<Problem[]> =>
  dnsmasqOf(system).check({ dhcp: next });

/** Difference of dnsmasq's files, and what it would be told. */
export const diff = (system: System, next: RenderedDhcp): Promise<string> =>
  dnsmasqOf(system).diff({ dhcp: next });

/** What dnsmasq would be told, once both parts are known. */
export const outlook = (system: System, next: RenderedDhcp): Promise<ServiceOutlook | null> =>
  dnsmasqOf(system).outlook({ dhcp: next });

/** Hands this part to the router's dnsmasq, which runs once it has the other part too (service/dnsmasq.ts). */
export const apply = (system: System, next: RenderedDhcp): Promise<Applied> =>
  dnsmasqOf(system).apply({ dhcp: next });

/** Mends files and process, for `dns` too. */
export const heal = (system: System): Promise<Applied> => dnsmasqOf(system).heal();
