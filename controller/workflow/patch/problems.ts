/** Why a patch is taken back. Pure. */
import type { Problem } from 'documents';
import type { PatchState } from './state.ts';

type Facts = Pick<PatchState, 'router' | 'within'> & { readonly bundle: { readonly version: string } };

export const gone = (router: string): Problem => ({
  pointer: '',
  code: 'router-gone',
  message: `The router ${router} was taken away meanwhile`,
  hint: 'Patch the router that serves its network now, if it needs it: selvage router list.',
});

export const refused = ({ router, bundle }: Facts, message: string): Problem => ({
  pointer: '',
  code: 'bundle-refused',
  message: `${router} did not take the bundle ${bundle.version}: ${message}`,
  hint: `${router} runs what it ran before, and nobody noticed. Mend the bundle and patch it again; its daemon.log has more.`,
});

export const late = ({ router, bundle, within }: Facts, what: string): Problem => ({
  pointer: '',
  code: 'patch-late',
  message: `${router} did not run the bundle ${bundle.version} within ${within / 1000} s: ${what}`,
  hint: `It is put back to what it ran before. "selvage events" says what happened meanwhile.`,
});
