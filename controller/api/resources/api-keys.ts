import { Type } from 'typebox';
import { keyHash, newApiKey } from '../../auth/key.ts';
import { recorded } from '../../model/conditions.ts';
import { problem } from '../../model/problem.ts';
import { recordEvent } from '../../store/events.ts';
import { deleteRow, insertRow } from '../../store/rows.ts';
import { accountFor } from '../references.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { body, Id, IdOrName, isoTime, Name, resourceSchema } from '../schemas.ts';

const ApiKey = resourceSchema(
  'ApiKey',
  'What an account is recognised by. The key itself is never read back.',
  {
    account: Id,
    name: Name,
  },
);

const kind: Kind<'api_key', typeof ApiKey> = {
  name: 'API key',
  path: 'api-keys',
  word: 'ApiKey',
  table: 'api_key',
  schema: ApiKey,
  readers: 'owner',
  writers: 'owner',
  render: async (_db, rows) =>
    rows.map((row) => ({
      id: row.id,
      account: row.account_id,
      name: row.name,
      createdAt: isoTime(row.created_at),
      conditions: recorded(row.created_at),
    })),
};

export const apiKeys: Register = (resource) => {
  resource(kind)
    .list({ filters: { name: { column: 'name', schema: Name } } })
    .show()
    .create(
      body({ account: Type.Optional(IdOrName), name: Name }),
      {
        once: { key: Type.String({ description: 'Shown this once.' }) },
        description: 'Answers with the key; it is not shown again.',
      },
      async (write) => {
        const { trx, body, findings } = write;
        const account = await accountFor(write, body.account);
        findings.check();
        const key = newApiKey();
        const row = await insertRow(trx, 'api_key', 'key', {
          account_id: account as string,
          name: body.name,
          key_hash: keyHash(key),
        });
        await recordEvent(trx, {
          account: row.account_id,
          type: 'api-key.created',
          resource: row.id,
          message: `API key ${row.name} was created`,
        });
        return { id: row.id, once: { key } };
      },
    )
    .remove(async ({ trx, findings }, row) => {
      const others = await trx
        .selectFrom('api_key')
        .innerJoin('account', 'account.id', 'api_key.account_id')
        .select(['api_key.id', 'account.role'])
        .where('account.role', '=', 'admin')
        .limit(2)
        .execute();
      if (others.length === 1 && others[0]?.id === row.id)
        findings.add(
          [
            problem(
              '',
              'last-admin-key',
              'This is the last key of an administrator',
              'Create another one first.',
            ),
          ],
          409,
        );
      findings.check();
      await deleteRow(trx, 'api_key', row.id);
      await recordEvent(trx, {
        account: row.account_id,
        type: 'api-key.removed',
        resource: row.id,
        message: `API key ${row.name} was removed`,
      });
      return {};
    });
};
