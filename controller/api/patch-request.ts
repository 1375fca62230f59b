import { type Static, Type } from 'typebox';
import { isAdmin } from '../auth/caller.ts';
import { Refusal } from '../model/refusal.ts';
import { findRow } from '../store/rows.ts';
import { defaultBundle } from '../store/router-bundles.ts';
import { beginPatch } from '../workflow/patch/begin.ts';
import type { Write } from './kind.ts';
import { body, Id } from './schemas.ts';

/** What a request to patch a router may say. */
export const patchBody = body({
  bundle: Type.Optional(
    Type.Unsafe<string>({
      ...Id,
      description:
        'Id of the bundle it is to run; the default bundle if not said. Another one only an administrator may choose.',
    }),
  ),
});

/** Begins to patch a router, or joins what is under way. The operation ends when it is ready with the new bundle. */
export const patchRouterTo = async (
  { trx, caller, body: given }: Pick<Write<Static<typeof patchBody>>, 'trx' | 'caller' | 'body'>,
  router: string,
): Promise<{ operation: string }> => {
  const standard = await defaultBundle(trx);
  const bundle = given.bundle ?? standard;
  // An older program may have a fault that the default was made to end. Whether there is such a bundle is not told, either.
  if (bundle !== standard && !isAdmin(caller)) {
    const message = 'Only an administrator may choose another bundle than the default';
    throw new Refusal(403, 'admin-only', message, [
      {
        pointer: '/bundle',
        code: 'admin-only',
        message,
        hint: 'Leave "bundle" out for the default one, or ask the operator for another.',
      },
    ]);
  }
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
  if ((await findRow(trx, 'router_bundle', bundle)) === undefined) {
    const message = `There is no router bundle ${bundle}`;
    throw new Refusal(404, 'not-found', message, [
      {
        pointer: '/bundle',
        code: 'not-found',
        message,
        hint: 'Name one of "selvage router-bundle list", or leave it out for the default.',
      },
    ]);
  }
  const workflow = await beginPatch(trx, { router, bundle });
  return { operation: workflow.operation_id };
};
