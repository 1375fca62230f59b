import { Type } from 'typebox';
import { isAdmin } from '../../auth/caller.ts';
import { recorded } from '../../model/conditions.ts';
import { problem } from '../../model/problem.ts';
import { recordEvent } from '../../store/events.ts';
import { deleteRow, getRow, insertRow, updateRow } from '../../store/rows.ts';
import { inUseProblems } from '../in-use.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { problems } from '../conventions.ts';
import { body, isoTime, Name, oneOf, ref, resourceSchema } from '../schemas.ts';

const role = oneOf(['user', 'admin'], { description: 'Administrators see and do everything.' });

const Account = resourceSchema('Account', 'Who owns networks; sees nothing of other accounts.', {
  name: Name,
  role,
});

const kind: Kind<'account', typeof Account> = {
  name: 'account',
  path: 'accounts',
  word: 'Account',
  table: 'account',
  schema: Account,
  readers: 'owner',
  writers: 'admin',
  ownerOf: async (_db, row) => row.id,
  render: async (_db, rows) =>
    rows.map((row) => ({
      id: row.id,
      name: row.name,
      role: row.role,
      createdAt: isoTime(row.created_at),
      conditions: recorded(row.created_at),
    })),
};

export const accounts: Register = (resource, app, { store }) => {
  resource(kind)
    .list({
      filters: { name: { column: 'name', schema: Name } },
      scope: async (_db, caller) => (isAdmin(caller) ? {} : { id: [caller.account] }),
    })
    .show()
    .create(body({ name: Name, role: Type.Optional(role) }), {}, async ({ trx, body }) => {
      const row = await insertRow(trx, 'account', 'acc', { name: body.name, role: body.role ?? 'user' });
      await recordEvent(trx, {
        account: null,
        type: 'account.created',
        resource: row.id,
        message: `Account ${row.name} was created`,
      });
      return { id: row.id };
    })
    .change(body({ name: Type.Optional(Name) }), async ({ trx, body }, row) => {
      await updateRow(trx, 'account', row.id, { name: body.name ?? row.name });
      return {};
    })
    .remove(async ({ trx, caller, findings }, row) => {
      if (row.id === caller.account)
        findings.add(
          [problem('', 'own-account', 'This is your own account', 'Ask another administrator.')],
          409,
        );
      findings.add(
        await inUseProblems(trx, 'account', row.id, [
          ['network', 'account_id', 'network'],
          ['instance', 'account_id', 'instance'],
          ['public_ip', 'account_id', 'public address'],
        ]),
        409,
      );
      // Its workflows go with it, and one of these alone knows how to take the probes away.
      const run = await trx
        .selectFrom('upgrade_run')
        .select('id')
        .where('account_id', '=', row.id)
        .where('ended_at', 'is', null)
        .executeTakeFirst();
      if (run !== undefined)
        findings.add(
          [
            problem(
              '',
              'in-use',
              `The account began the upgrade run ${run.id}, which has not ended`,
              `Wait for its end, or abort it: selvage upgrade-run abort ${run.id}.`,
            ),
          ],
          409,
        );
      findings.check();
      await trx.deleteFrom('workflow').where('account_id', '=', row.id).execute();
      await trx.deleteFrom('operation').where('account_id', '=', row.id).execute();
      await trx.deleteFrom('api_key').where('account_id', '=', row.id).execute();
      await deleteRow(trx, 'account', row.id);
      await recordEvent(trx, {
        account: null,
        type: 'account.removed',
        resource: row.id,
        message: `Account ${row.name} was removed`,
      });
      return {};
    });

  app.route({
    method: 'GET',
    url: '/v1/accounts/self',
    schema: {
      operationId: 'getOwnAccount',
      tags: ['accounts'],
      summary: 'Shows the account of the key in use',
      security: [{ apiKey: [] }],
      response: { 200: ref(Account), ...problems },
    },
    handler: async ({ caller }) => {
      const row = await getRow(store.db, 'account', caller.account);
      return (await kind.render(store.db, [row], store.now()))[0];
    },
  });
};
