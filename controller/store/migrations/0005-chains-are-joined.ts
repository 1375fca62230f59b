import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

interface Tables {
  router: {
    id: string;
    host_id: string;
    generation: number;
    older_id: string | null;
    newer_id: string | null;
  };
  router_change: { router_id: string; generation: number; collection: string; item_id: string };
  host: { id: string; generation: number };
  workflow: { id: string; type: string; status: string; state: string };
}

interface OldState {
  retirement: { release?: { router: string; generation: number } | null } | null;
}

/** Replacements that are under way get what their state has from here on. */
const workflows = async (db: Kysely<Tables>): Promise<void> => {
  const rows = await db
    .selectFrom('workflow')
    .select(['id', 'state'])
    .where('type', '=', 'router.replace')
    .where('status', 'in', ['running', 'aborting'])
    .execute();
  for (const { id, state: text } of rows) {
    const before = JSON.parse(text) as OldState;
    const { release: old = null, ...retirement } = before.retirement ?? {};
    const release =
      old === null
        ? null
        : { older: null, newer: old.router, stage: 'forget', host: null, routers: [old], since: 0 };
    const state = {
      ...before,
      retirement: before.retirement === null ? null : retirement,
      bundle: null,
      release,
      holdsChain: false,
      silence: null,
      rescue: null,
    };
    await db
      .updateTable('workflow')
      .set({ state: JSON.stringify(state) })
      .where('id', '=', id)
      .execute();
  }
};

/** Wires between routers have other names from here on: who has any is told. */
const wires = async (db: Kysely<Tables>): Promise<void> => {
  const rows = await db
    .selectFrom('router')
    .select(['id', 'host_id', 'generation'])
    .where((eb) => eb.or([eb('older_id', 'is not', null), eb('newer_id', 'is not', null)]))
    .execute();
  for (const { id, generation } of rows) {
    await db
      .updateTable('router')
      .set({ generation: generation + 1 })
      .where('id', '=', id)
      .execute();
    const change = { router_id: id, generation: generation + 1, collection: 'handover', item_id: '' };
    await db.insertInto('router_change').values(change).execute();
  }
  for (const host of new Set(rows.map(({ host_id }) => host_id)))
    await db.updateTable('host').set({ generation: sql`generation + 1` }).where('id', '=', host).execute();
};

const up = async (db: Kysely<unknown>): Promise<void> => {
  await workflows(db as Kysely<Tables>);
  await wires(db as Kysely<Tables>);
};

/** Routers leave the chain from its middle, and those with a dead daemon are left out. */
export const chainsAreJoined: Migration = { up };
