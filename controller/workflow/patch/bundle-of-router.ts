import { updateRow } from '../../store/rows.ts';
import { touchHost } from '../../store/touch.ts';
import type { Trx } from '../../store/transaction.ts';

/** Says what a router is to run; null: what its host came with. Returns the generation of the host's document that names it. */
export const setBundle = async (
  trx: Trx,
  { router, host }: { readonly router: string; readonly host: string },
  bundle: string | null,
): Promise<number> => {
  await updateRow(trx, 'router', router, { bundle_id: bundle });
  return (await touchHost(trx, host)) as number;
};
