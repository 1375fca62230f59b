/** A repeated create with the same `Idempotency-Key` gets the first one's answer and does nothing. */
import { createHash } from 'node:crypto';
import { Refusal } from '../model/refusal.ts';
import type { Store } from '../store/store.ts';
import { pendingOf, type Trx } from '../store/transaction.ts';

/** How long an answer is kept, ms. */
const KEPT = 24 * 3_600_000;

export interface StoredAnswer {
  readonly status: number;
  readonly etag: string | null;
  readonly location: string | null;
  readonly body: Record<string, unknown>;
}

export interface IdempotentRequest {
  readonly account: string;
  readonly key: string;
  readonly hash: string;
}

/** Identifies a request by what it asks for. */
export const requestHash = (method: string, path: string, body: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify([method, path, body ?? null]))
    .digest('hex');

const contextOf = ({ account, key }: IdempotentRequest): string => `answer ${account} ${key}`;

/**
 * The answer given before, null when this is the first time.
 * @throws {Refusal} 422 `idempotency-key-reused` when the key came with another request.
 */
export const answerBefore = async (
  store: Store,
  trx: Trx,
  request: IdempotentRequest,
): Promise<StoredAnswer | null> => {
  const row = await trx
    .selectFrom('idempotency_key')
    .select(['request_hash', 'response', 'created_at'])
    .where('account_id', '=', request.account)
    .where('key', '=', request.key)
    .executeTakeFirst();
  if (row === undefined || row.created_at < pendingOf(trx).now - KEPT) return null;
  if (row.request_hash !== request.hash) {
    const message = `The Idempotency-Key ${JSON.stringify(request.key)} was used for another request`;
    throw new Refusal(422, 'idempotency-key-reused', message, [
      { pointer: '', code: 'idempotency-key-reused', message, hint: 'Use a new key for a new request.' },
    ]);
  }
  return JSON.parse(store.secrets.decrypt(row.response, contextOf(request))) as StoredAnswer;
};

/** Keeps an answer with the transaction that made it. Encrypted: it may carry a key, a token or a password. */
export const keepAnswer = async (
  store: Store,
  trx: Trx,
  request: IdempotentRequest,
  answer: StoredAnswer,
): Promise<void> => {
  const { now } = pendingOf(trx);
  await trx
    .deleteFrom('idempotency_key')
    .where('created_at', '<', now - KEPT)
    .execute();
  await trx
    .insertInto('idempotency_key')
    .values({
      account_id: request.account,
      key: request.key,
      request_hash: request.hash,
      response: store.secrets.encrypt(JSON.stringify(answer), contextOf(request)),
      created_at: now,
    })
    .execute();
};
