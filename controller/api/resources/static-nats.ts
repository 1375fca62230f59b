import { Type } from 'typebox';
import { staticNatConflicts } from '../../model/conflicts.ts';
import { assertFound } from '../../model/findings.ts';
import { touchStaticNat } from '../../plan/touched.ts';
import { publicIpUses } from '../../store/public-ips.ts';
import { insertRow } from '../../store/rows.ts';
import { staticNatOf } from '../../store/rules.ts';
import { removeStaticNat } from '../remove-rules.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import {
  appliedConditions,
  deliverRule,
  guestPortFor,
  guestsByPort,
  ofInstance,
  publicAddresses,
  publicIpFor,
} from '../rules.ts';
import { body, Id, isoTime, resourceSchema } from '../schemas.ts';

const StaticNat = resourceSchema('StaticNat', 'One public address for one guest, both ways.', {
  account: Id,
  network: Id,
  publicIp: Id,
  address: Type.String(),
  instance: Id,
  port: Id,
  guestAddress: Type.String(),
});

const kind: Kind<'static_nat', typeof StaticNat> = {
  name: 'static NAT',
  path: 'static-nats',
  word: 'StaticNat',
  table: 'static_nat',
  schema: StaticNat,
  readers: 'owner',
  writers: 'owner',
  render: async (db, rows, now) => {
    const conditions = await appliedConditions(db, rows, now);
    const addresses = await publicAddresses(
      db,
      rows.map(({ public_ip_id }) => public_ip_id),
    );
    const guests = await guestsByPort(
      db,
      rows.map(({ port_id }) => port_id),
    );
    return rows.map((row, index) => ({
      id: row.id,
      account: row.account_id,
      network: row.network_id,
      publicIp: row.public_ip_id,
      address: addresses.get(row.public_ip_id) ?? '',
      instance: guests.get(row.port_id)?.instance ?? '',
      port: row.port_id,
      guestAddress: guests.get(row.port_id)?.address ?? '',
      createdAt: isoTime(row.created_at),
      conditions: conditions[index] ?? [],
    }));
  },
};

export const staticNats: Register = (resource) => {
  resource(kind)
    .list({
      lookups: { instance: ofInstance },
      filters: {
        publicIp: { column: 'public_ip_id', schema: Id },
        network: { column: 'network_id', schema: Id },
        port: { column: 'port_id', schema: Id },
      },
    })
    .show()
    .create(
      body({ publicIp: Id, instance: Type.Optional(Id), port: Type.Optional(Id) }),
      {},
      async (write) => {
        const { trx, body, findings } = write;
        const ip = await publicIpFor(write, body.publicIp, 'static-nat');
        const guest =
          ip === undefined
            ? undefined
            : await guestPortFor(write, ip.network_id, body, { instance: '/instance', port: '/port' });
        if (ip !== undefined) {
          const uses = (await publicIpUses(trx, [ip.id])).get(ip.id) ?? [];
          findings.add(
            staticNatConflicts(
              { address: ip.address, sourceNat: ip.source_nat === 1 },
              uses.filter(({ kind: what }) => what !== 'firewall rule'),
              guest === undefined ? null : await staticNatOf(trx, 'port_id', guest.id),
            ),
            409,
          );
        }
        findings.check();
        assertFound(ip);
        assertFound(guest);
        const row = await insertRow(trx, 'static_nat', 'sn', {
          network_id: ip.network_id,
          account_id: ip.account_id,
          public_ip_id: ip.id,
          port_id: guest.id,
          generation: 0,
        });
        const { generation, operation } = await deliverRule(trx, {
          network: ip.network_id,
          account: ip.account_id,
          id: row.id,
          kind: 'static-nat',
          verb: 'created',
          touches: touchStaticNat(row.id, guest.id),
          words: `${ip.address} for ${guest.address}`,
        });
        await trx.updateTable('static_nat').set({ generation }).where('id', '=', row.id).execute();
        return { id: row.id, operation };
      },
    )
    .remove(async ({ trx }, row) => {
      const touches = await removeStaticNat(trx, row);
      const { operation } = await deliverRule(trx, {
        network: row.network_id,
        account: row.account_id,
        id: row.id,
        kind: 'static-nat',
        verb: 'removed',
        touches,
        words: `the guest port ${row.port_id} has no address of its own any more`,
      });
      return { operation };
    });
};
