import type { Feature } from '../feature.ts';
import { apply, check, diff, heal, outlook } from './apply.ts';
import { type RenderedDhcp, render } from './render.ts';
import { verify } from './verify.ts';

/** Addresses for guests that have a reservation, by dnsmasq. */
export const dhcpFeature: Feature<RenderedDhcp> = {
  name: 'dhcp',
  verify,
  render,
  check,
  diff,
  outlook,
  apply,
  heal,
};
