import type { Problem } from 'documents';
import type { Applied, ServiceOutlook } from '../feature.ts';
import { dnsmasqOf } from '../service/dnsmasq-of.ts';
import type { System } from '../system.ts';
import type { RenderedDns } from './render.ts';

/** Asks `dnsmasq --test`. */
export const check = (system: System, next: RenderedDns): Promise<Problem[]> =>
  dnsmasqOf(system).check({ dns: next });

/** Difference of dnsmasq's files, and what it would be told. */
export const diff = (system: System, next: RenderedDns): Promise<string> =>
  dnsmasqOf(system).diff({ dns: next });

/** What dnsmasq would be told, once both parts are known. */
export const outlook = (system: System, next: RenderedDns): Promise<ServiceOutlook | null> =>
  dnsmasqOf(system).outlook({ dns: next });

/** Hands this part to the router's dnsmasq, which runs once it has the other part too (service/dnsmasq.ts). */
export const apply = (system: System, next: RenderedDns): Promise<Applied> =>
  dnsmasqOf(system).apply({ dns: next });

/** Nothing by itself: the files and the process are one for both parts, and `dhcp` mends them. */
export const heal = (): Promise<Applied> => Promise.resolve({ changes: [] });
