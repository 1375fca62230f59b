import type { Feature } from '../feature.ts';
import { apply, diff, heal, outlook } from './apply.ts';
import { type RenderedMetadata, render } from './render.ts';
import { verify } from './verify.ts';

/** User data, meta data, SSH keys and one-time passwords, over HTTP on the gateway address of each guest leg. */
export const metadataFeature: Feature<RenderedMetadata> = {
  name: 'metadata',
  verify,
  render,
  diff,
  outlook,
  apply,
  heal,
};
