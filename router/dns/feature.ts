import type { Feature } from '../feature.ts';
import { apply, check, diff, heal, outlook } from './apply.ts';
import { type RenderedDns, render } from './render.ts';
import { verify } from './verify.ts';

/** Names of guests for guests, and the rest of the world by forwarding, by dnsmasq. */
export const dnsFeature: Feature<RenderedDns> = {
  name: 'dns',
  verify,
  render,
  check,
  diff,
  outlook,
  apply,
  heal,
};
