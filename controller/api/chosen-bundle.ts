import { Type } from 'typebox';
import { type Caller, isAdmin } from '../auth/caller.ts';
import { Refusal } from '../model/refusal.ts';
import { findRow } from '../store/rows.ts';
import { defaultBundle } from '../store/router-bundles.ts';
import type { Trx } from '../store/transaction.ts';
import { Id } from './schemas.ts';

/** Where a request says which bundle a router is to run. */
export const bundleField = Type.Optional(
  Type.Unsafe<string>({
    ...Id,
    description:
      'Id of the bundle it is to run; the default bundle if not said. Another one only an administrator may choose.',
  }),
);

/**
 * Id of the bundle a request chose; of the default one if it did not, null when there is none.
 * @throws {Refusal} 403 when another than the default is not the caller's to choose, 404 when there is no such bundle.
 */
export const chosenBundle = async (
  trx: Trx,
  caller: Caller,
  chosen: string | undefined,
): Promise<string | null> => {
  const standard = await defaultBundle(trx);
  const bundle = chosen ?? standard;
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
  if (bundle !== null && (await findRow(trx, 'router_bundle', bundle)) === undefined) {
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
  return bundle;
};
