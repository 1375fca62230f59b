import type { Feature } from '../feature.ts';
import { apply, check, diff, heal, outlook } from './apply.ts';
import { type RenderedLoadBalancers, render } from './render.ts';
import { verify } from './verify.ts';

/** Connections to a public address spread over guests, by haproxy; no haproxy without a load balancer. */
export const loadBalancerFeature: Feature<RenderedLoadBalancers> = {
  name: 'loadbalancer',
  verify,
  render,
  check,
  diff,
  outlook,
  apply,
  heal,
};
