import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

interface Tables {
  router: { id: string; bundle_id: string | null };
  workflow: { id: string; type: string; status: string; state: string };
}

interface OldState {
  readonly router: string;
  readonly silence?: { readonly router: string; readonly since: number } | null;
}

/**
 * Replacements that are under way get what their state has from here on: what the old router ran, for taking them back by a
 * third one, and a time of silence for each router.
 */
const up = async (db: Kysely<Tables>): Promise<void> => {
  const rows = await db
    .selectFrom('workflow')
    .select(['id', 'state'])
    .where('type', '=', 'router.replace')
    .where('status', 'in', ['running', 'aborting'])
    .execute();
  for (const { id, state: text } of rows) {
    const { silence = null, ...before } = JSON.parse(text) as OldState;
    const old = await db
      .selectFrom('router')
      .select('bundle_id')
      .where('id', '=', before.router)
      .executeTakeFirst();
    const state = {
      ...before,
      previousBundle: old?.bundle_id ?? null,
      forward: null,
      silences: silence === null ? {} : { [silence.router]: silence.since },
    };
    await db
      .updateTable('workflow')
      .set({ state: JSON.stringify(state) })
      .where('id', '=', id)
      .execute();
  }
};

export const replacementsGoForward: Migration = { up };
