/** Which programs routers are to run. */
import type { Selectable } from 'kysely';
import { updateRow } from './rows.ts';
import type { RouterBundleTable } from './schema.ts';
import type { Db, Trx } from './transaction.ts';

/** What is known of a bundle. */
export type RouterBundle = Pick<Selectable<RouterBundleTable>, 'id' | 'bundle_version' | 'checksum'>;

/** Id of the bundle that new routers get, null when there is none: then they run what their host came with. */
export const defaultBundle = async (db: Db): Promise<string | null> =>
  (await db.selectFrom('router_bundle').select('id').where('is_default', '=', 1).executeTakeFirst())?.id ??
  null;

/** Makes a bundle the one that new routers get. */
export const setDefaultBundle = async (trx: Trx, id: string): Promise<void> => {
  await trx.updateTable('router_bundle').set({ is_default: 0 }).where('is_default', '=', 1).execute();
  await updateRow(trx, 'router_bundle', id, { is_default: 1 });
};

/** All bundles. */
export const bundlesOf = async (db: Db): Promise<(RouterBundle & { readonly is_default: 0 | 1 })[]> =>
  db.selectFrom('router_bundle').select(['id', 'bundle_version', 'checksum', 'is_default']).execute();

/** The file with this checksum, undefined when there is none. */
export const bundleContent = async (db: Db, checksum: string): Promise<Buffer | undefined> =>
  (
    await db
      .selectFrom('router_bundle')
      .innerJoin('router_bundle_content', 'router_bundle_content.bundle_id', 'router_bundle.id')
      .select('router_bundle_content.content')
      .where('router_bundle.checksum', '=', checksum)
      .executeTakeFirst()
  )?.content;

/** Keeps the file of a bundle; it goes with the bundle. */
export const keepContent = async (trx: Trx, bundle: string, content: Buffer): Promise<void> => {
  await trx.insertInto('router_bundle_content').values({ bundle_id: bundle, content }).execute();
};
