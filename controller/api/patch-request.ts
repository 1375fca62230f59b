import type { Static } from 'typebox';
import { Refusal } from '../model/refusal.ts';
import { beginPatch } from '../workflow/patch/begin.ts';
import { bundleField, chosenBundle } from './chosen-bundle.ts';
import type { Write } from './kind.ts';
import { body } from './schemas.ts';

/** What a request to patch a router may say. */
export const patchBody = body({ bundle: bundleField });

/** Begins to patch a router, or joins what is under way. The operation ends when it is ready with the new bundle. */
export const patchRouterTo = async (
  { trx, caller, body: given }: Pick<Write<Static<typeof patchBody>>, 'trx' | 'caller' | 'body'>,
  router: string,
): Promise<{ operation: string }> => {
  const bundle = await chosenBundle(trx, caller, given.bundle);
  if (bundle === null) {
    const message = 'There is no bundle that routers could be patched to';
    throw new Refusal(409, 'conflict', message, [
      {
        pointer: '',
        code: 'no-bundle',
        message,
        hint: 'Make and upload one: npm run bundle, then selvage router-bundle create --file build/router.mjs --default.',
      },
    ]);
  }
  const workflow = await beginPatch(trx, { router, bundle });
  return { operation: workflow.operation_id };
};
