import type { Feature } from '../feature.ts';
import { applyRoutes, diffRoutes } from './apply.ts';
import { renderRoutes, type WantedRoute } from './render.ts';
import { verifyRoutes } from './verify.ts';

/** Default routes through the legs' gateways, and static ones. */
export const routesFeature: Feature<readonly WantedRoute[]> = {
  name: 'routes',
  verify: verifyRoutes,
  render: renderRoutes,
  diff: diffRoutes,
  apply: applyRoutes,
  heal: applyRoutes,
};
