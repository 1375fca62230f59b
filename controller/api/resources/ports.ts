import { Type } from 'typebox';
import { isAdmin } from '../../auth/caller.ts';
import { recorded } from '../../model/conditions.ts';
import { findRow, rowsById } from '../../store/rows.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { Id, isoTime, oneOf, resourceSchema, textOrNull } from '../schemas.ts';

const role = oneOf(['guest', 'router-guest', 'router-public'], {
  description: 'guest: of an instance; router-guest: the gateway; router-public: towards the outside.',
});

const Port = resourceSchema(
  'Port',
  'Where a machine meets a network. Ports come and go with their machines.',
  {
    network: Id,
    role,
    instance: textOrNull(),
    router: textOrNull(),
    mac: Type.String(),
    address: textOrNull('Address of a guest; those of a router follow from its network.'),
  },
);

const kind: Kind<'port', typeof Port> = {
  name: 'port',
  path: 'ports',
  word: 'Port',
  table: 'port',
  schema: Port,
  readers: 'owner',
  writers: 'nobody',
  ownerOf: async (db, row) => (await findRow(db, 'network', row.network_id))?.account_id ?? null,
  render: async (db, rows) => {
    const networks = await rowsById(
      db,
      'network',
      rows.map(({ network_id }) => network_id),
    );
    return rows.map((row) => ({
      id: row.id,
      network: row.network_id,
      role: row.role,
      instance: row.instance_id,
      router: row.router_id,
      mac: row.mac,
      address:
        row.address ?? (row.role === 'router-guest' ? (networks.get(row.network_id)?.gateway ?? null) : null),
      createdAt: isoTime(row.created_at),
      conditions: recorded(row.created_at),
    }));
  },
};

export const ports: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        network: { column: 'network_id', schema: Id },
        instance: { column: 'instance_id', schema: Id },
        router: { column: 'router_id', schema: Id },
        role: { column: 'role', schema: role },
      },
      scope: async (db, caller) => {
        if (isAdmin(caller)) return {};
        const networks = await db
          .selectFrom('network')
          .select('id')
          .where('account_id', '=', caller.account)
          .execute();
        return { network_id: networks.map(({ id }) => id) };
      },
    })
    .show();
};
