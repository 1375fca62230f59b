import { createHash } from 'node:crypto';
import type { Db } from '../store/transaction.ts';

/** How a token lies in `host.token_hash`. */
export const hostTokenHash = (token: string): string => createHash('sha256').update(token).digest('hex');

/** Id of the host whose token an `Authorization` header carries, undefined for any other header. */
export const hostOfToken = async (db: Db, authorization: string | undefined): Promise<string | undefined> => {
  const token = /^Bearer ([\x21-\x7e]{1,256})$/.exec(authorization ?? '')?.[1];
  if (token === undefined) return undefined;
  const row = await db
    .selectFrom('host')
    .select('id')
    .where('token_hash', '=', hostTokenHash(token))
    .executeTakeFirst();
  return row?.id;
};
