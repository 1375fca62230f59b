/** What `?dryRun=plan` answers: the documents' items a write would change, from the transaction that is then undone. */
import { collectionNames, type MetadataGuest, type RouterDocument } from 'documents';
import { Type } from 'typebox';
import { loadRouterFacts } from '../deliver/router-facts.ts';
import { planRouter } from '../plan/router.ts';
import { planRouterChange } from '../plan/router-change.ts';
import { gatherTouches } from '../plan/touched.ts';
import type { Store } from '../store/store.ts';
import { pendingOf, type Trx } from '../store/transaction.ts';

const ItemChanges = Type.Object(
  {
    upsert: Type.Array(Type.Unsafe<object>({ type: 'object', additionalProperties: true })),
    remove: Type.Array(Type.String()),
  },
  { additionalProperties: false },
);

/** Answer to a write with `?dryRun=plan`. */
export const Plan = Type.Object(
  {
    plan: Type.Literal(true),
    resource: Type.Unsafe<object>({
      type: 'object',
      additionalProperties: true,
      description: 'As it would be. Ids and addresses of new things are examples: the real write draws anew.',
    }),
    routers: Type.Array(
      Type.Object(
        {
          id: Type.String(),
          generation: Type.Integer({ description: 'Generation the document would have.' }),
          collections: Type.Record(Type.String(), ItemChanges),
          document: Type.Boolean({ description: 'True: the whole document is sent, not a change.' }),
        },
        { additionalProperties: false },
      ),
    ),
    hosts: Type.Array(
      Type.Object({ id: Type.String(), generation: Type.Integer() }, { additionalProperties: false }),
    ),
  },
  { $id: 'Plan', description: 'What a write would do.', additionalProperties: false },
);

const withoutPassword = (guest: MetadataGuest): MetadataGuest => {
  const shown = { ...guest };
  delete shown.password;
  return shown;
};

/** A router document as it may be read: one-time passwords left out. */
export const withoutPasswords = (document: RouterDocument): RouterDocument => ({
  ...document,
  metadataGuests: document.metadataGuests.map(withoutPassword),
});

/** The whole document of a router, without passwords; null when there is no such router. */
export const readRouterDocument = async (trx: Trx, routerId: string): Promise<RouterDocument | null> => {
  // No password leaves this function, so none is decrypted; the text only has to be one.
  const facts = await loadRouterFacts(trx, routerId, { decryptPassword: () => 'not-shown' });
  return facts === undefined ? null : withoutPasswords(planRouter(facts));
};

/** The whole document as the router gets it, passwords included: for the router alone. */
export const deliveredRouterDocument = async (
  store: Store,
  routerId: string,
): Promise<RouterDocument | null> =>
  store.transaction(async (trx) => {
    const facts = await loadRouterFacts(trx, routerId, {
      decryptPassword: (instance, text) => store.secrets.decrypt(text, instance),
    });
    return facts === undefined ? null : planRouter(facts);
  });

const wholeDocument = (document: RouterDocument) =>
  Object.fromEntries(
    collectionNames
      .filter((name) => document[name].length > 0)
      .map((name) => [name, { upsert: [...document[name]], remove: [] as string[] }]),
  );

export const planAnswer = async (trx: Trx, resource: object) => {
  const { routers, hosts } = pendingOf(trx);
  const plans = [];
  for (const [id, { generation, items }] of routers) {
    const touched = items.size === 0 ? null : gatherTouches([...items.values()]);
    const facts = await loadRouterFacts(trx, id, {
      decryptPassword: () => 'not-shown',
      ...(touched === null ? {} : { touched }),
    });
    if (facts === undefined) continue;
    if (touched === null) {
      const collections = wholeDocument(withoutPasswords(planRouter(facts)));
      plans.push({ id, generation, collections, document: true });
      continue;
    }
    const { collections } = planRouterChange(facts, touched, generation - 1, generation);
    const guests = collections.metadataGuests;
    const shown = {
      ...collections,
      ...(guests === undefined
        ? {}
        : {
            metadataGuests: { ...guests, upsert: guests.upsert.map(withoutPassword) },
          }),
    };
    plans.push({ id, generation, collections: shown, document: false });
  }
  return {
    plan: true as const,
    resource,
    routers: plans,
    hosts: [...hosts].map(([id, { generation }]) => ({ id, generation })),
  };
};

/** Ends a transaction that was only tried: everything in it is taken back, the answer stays. */
export class Rehearsal extends Error {
  readonly answer: unknown;

  constructor(answer: unknown) {
    super('Tried only; nothing was done');
    this.name = 'Rehearsal';
    this.answer = answer;
  }
}

/** Runs `work` and takes it back. Returns what it answered. */
export const rehearse = async <Answer>(
  store: Store,
  work: (trx: Trx) => Promise<Answer>,
): Promise<Answer> => {
  try {
    await store.transaction(async (trx) => {
      throw new Rehearsal(await work(trx));
    });
  } catch (error) {
    if (error instanceof Rehearsal) return error.answer as Answer;
    throw error;
  }
  throw new TypeError('A rehearsal always ends in its own error');
};
