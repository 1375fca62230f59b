import type { Feature } from '../feature.ts';
import { applyHandover, diffHandover, healHandover } from './apply.ts';
import { type RenderedHandover, renderHandover } from './render.ts';
import { verifyHandover } from './verify.ts';

/** The router's place in a chain of routers that serve one network: who gets packets of connections it does not know. */
export const handoverFeature: Feature<RenderedHandover> = {
  name: 'handover',
  verify: verifyHandover,
  render: renderHandover,
  diff: diffHandover,
  apply: applyHandover,
  heal: healHandover,
};
