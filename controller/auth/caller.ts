import type { Db } from '../store/transaction.ts';
import { bearerOf, keyHash, sameHash } from './key.ts';

/** Who makes a call. */
export interface Caller {
  /** Id of the account. */
  readonly account: string;
  readonly name: string;
  readonly role: 'admin' | 'user';
  /** Id of the API key. */
  readonly key: string;
}

export const isAdmin = (caller: Caller): boolean => caller.role === 'admin';

/** The account whose key an `Authorization` header carries, null for any other header. */
export const callerOf = async (db: Db, authorization: string | undefined): Promise<Caller | null> => {
  const key = bearerOf(authorization);
  if (key === null) return null;
  const hash = keyHash(key);
  const row = await db
    .selectFrom('api_key')
    .innerJoin('account', 'account.id', 'api_key.account_id')
    .select([
      'api_key.id as key',
      'api_key.key_hash',
      'account.id as account',
      'account.name',
      'account.role',
    ])
    .where('api_key.key_hash', '=', hash)
    .executeTakeFirst();
  if (row === undefined || !sameHash(row.key_hash, hash)) return null;
  return { account: row.account, name: row.name, role: row.role, key: row.key };
};
