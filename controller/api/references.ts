/** Reading what a request refers to, within the walls of the caller's account. */
import type { Selectable } from 'kysely';
import { isAdmin } from '../auth/caller.ts';
import { problem } from '../model/problem.ts';
import { findRow } from '../store/rows.ts';
import type { Database, ResourceTable } from '../store/schema.ts';
import type { Trx } from '../store/transaction.ts';
import type { Write } from './kind.ts';

type Named = 'zone' | 'account' | 'network_offering';
type Owned =
  | 'network'
  | 'instance'
  | 'public_ip'
  | 'firewall_rule'
  | 'egress_rule'
  | 'port_forward'
  | 'static_nat'
  | 'load_balancer';
type RowOf<Table extends ResourceTable> = Selectable<Database[Table]>;
type Asking = Pick<Write<unknown>, 'trx' | 'caller' | 'findings'>;

const missing = ({ findings }: Asking, pointer: string, kind: string, id: string): undefined => {
  findings.add(
    [
      problem(
        pointer,
        'not-found',
        `There is no ${kind} ${id}`,
        `List what there is with GET /v1/${kind.replace(/ /g, '-')}s.`,
      ),
    ],
    404,
  );
  return undefined;
};

/** A row of the caller's own account (of any, for administrators); a finding and undefined when there is none. */
export const ownedRow = async <Table extends Owned>(
  asking: Asking,
  table: Table,
  id: string,
  pointer: string,
): Promise<RowOf<Table> | undefined> => {
  const row = await findRow(asking.trx, table, id);
  const owner = (row as { account_id?: string } | undefined)?.account_id;
  if (row !== undefined && (isAdmin(asking.caller) || owner === asking.caller.account)) return row;
  return missing(asking, pointer, table.replaceAll('_', ' '), id);
};

const byName = async (trx: Trx, table: Named, name: string) =>
  (trx as unknown as { selectFrom(table: 'zone'): ReturnType<typeof trx.selectFrom<'zone'>> })
    .selectFrom(table as 'zone')
    .selectAll()
    .where('name', '=', name)
    .executeTakeFirst();

/** A row by id or by its unique name. */
export const namedRow = async <Table extends Named>(
  asking: Asking,
  table: Table,
  idOrName: string,
  pointer: string,
): Promise<RowOf<Table> | undefined> => {
  const row =
    (await findRow(asking.trx, table, idOrName)) ??
    ((await byName(asking.trx, table, idOrName)) as unknown as RowOf<Table> | undefined);
  return row ?? missing(asking, pointer, table.replaceAll('_', ' '), idOrName);
};

/** The account a new thing is for: the caller's own, or for administrators the one they name. */
export const accountFor = async (asking: Asking, named: string | undefined): Promise<string | undefined> => {
  const { caller } = asking;
  if (named === undefined || named === caller.account || named === caller.name) return caller.account;
  if (!isAdmin(caller)) return missing(asking, '/account', 'account', named);
  return (await namedRow(asking, 'account', named, '/account'))?.id;
};

/** The zone named, or the only one there is. */
export const zoneFor = async (
  asking: Asking,
  named: string | undefined,
): Promise<RowOf<'zone'> | undefined> => {
  if (named !== undefined) return namedRow(asking, 'zone', named, '/zone');
  const zones = await asking.trx.selectFrom('zone').selectAll().limit(2).execute();
  const [only] = zones;
  if (only !== undefined && zones.length === 1) return only;
  asking.findings.add([
    problem(
      '/zone',
      'missing-field',
      only === undefined ? 'There is no zone yet' : 'There is more than one zone',
      only === undefined
        ? 'An administrator creates one: POST /v1/zones.'
        : 'Say which: zone is an id or a name.',
    ),
  ]);
  return undefined;
};
