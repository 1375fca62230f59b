import { type Migration, Migrator } from 'kysely/migration';
import { initial } from './migrations/0001-initial.ts';
import { routerReplacement } from './migrations/0002-router-replacement.ts';
import { routerBundlesAndStandbys } from './migrations/0003-router-bundles-and-standbys.ts';
import { upgradeRuns } from './migrations/0004-upgrade-runs.ts';
import { chainsAreJoined } from './migrations/0005-chains-are-joined.ts';
import { replacementsGoForward } from './migrations/0006-replacements-go-forward.ts';
import type { Db } from './transaction.ts';

/** Forward only, in order of their names. Listed here and not read from a folder, so that they are in the bundle. */
const migrations: Readonly<Record<string, Migration>> = {
  '0001-initial': initial,
  '0002-router-replacement': routerReplacement,
  '0003-router-bundles-and-standbys': routerBundlesAndStandbys,
  '0004-upgrade-runs': upgradeRuns,
  '0005-chains-are-joined': chainsAreJoined,
  '0006-replacements-go-forward': replacementsGoForward,
};

/** Brings the tables to what `schema.ts` says. @throws the first error of a migration; it leaves the tables as they were. */
export const migrate = async (db: Db): Promise<void> => {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => ({ ...migrations }) } });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
};
