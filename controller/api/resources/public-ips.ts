import { Type } from 'typebox';
import { assertFound } from '../../model/findings.ts';
import { problem } from '../../model/problem.ts';
import { touchPublicIp } from '../../plan/touched.ts';
import { recordEvent } from '../../store/events.ts';
import { startOperation } from '../../store/operations.ts';
import { allocatePublicIp, publicIpUses } from '../../store/public-ips.ts';
import { type RouterPorts, touchNetwork } from '../../store/routers.ts';
import { deleteRow, getRow } from '../../store/rows.ts';
import { ownedRow } from '../references.ts';
import type { Register } from '../register.ts';
import type { Kind } from '../kind.ts';
import { appliedConditions } from '../rules.ts';
import { body, Id, Ipv4, isoTime, resourceSchema } from '../schemas.ts';

const PublicIp = resourceSchema('PublicIp', 'A public address that belongs to a network.', {
  account: Id,
  zone: Id,
  network: Id,
  range: Id,
  address: Ipv4,
  sourceNat: Type.Boolean({ description: 'True: all guests of the network leave with it.' }),
  usedBy: Type.Array(Id, { description: 'Rules that name it, at most 100 of each kind.' }),
});

const kind: Kind<'public_ip', typeof PublicIp> = {
  name: 'public IP',
  path: 'public-ips',
  word: 'PublicIp',
  table: 'public_ip',
  schema: PublicIp,
  readers: 'owner',
  writers: 'owner',
  render: async (db, rows, now) => {
    const uses = await publicIpUses(
      db,
      rows.map(({ id }) => id),
    );
    const conditions = await appliedConditions(db, rows, now);
    return rows.map((row, index) => ({
      id: row.id,
      account: row.account_id,
      zone: row.zone_id,
      network: row.network_id,
      range: row.range_id,
      address: row.address,
      sourceNat: row.source_nat === 1,
      usedBy: (uses.get(row.id) ?? []).map(({ id }) => id),
      createdAt: isoTime(row.created_at),
      conditions: conditions[index] ?? [],
    }));
  },
};

/** Services that use a public address; a network with none of them has no public leg. */
const outward = ['source-nat', 'static-nat', 'port-forward', 'load-balancer', 'firewall'];

const touches =
  (sourceNat: boolean) =>
  ({ guest, public: outside }: RouterPorts) =>
    outside === null ? [] : touchPublicIp(outside, guest, sourceNat);

export const publicIps: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        network: { column: 'network_id', schema: Id },
        zone: { column: 'zone_id', schema: Id },
        address: { column: 'address', schema: Ipv4 },
      },
    })
    .show()
    .create(
      body({ network: Id, address: Type.Optional(Ipv4) }),
      { description: 'Acquires a public address for a network: the one named, or the lowest free.' },
      async (write) => {
        const { trx, body, findings } = write;
        const network = await ownedRow(write, 'network', body.network, '/network');
        if (network !== undefined) {
          const offering = await getRow(trx, 'network_offering', network.offering_id);
          const services = JSON.parse(offering.services) as string[];
          if (!services.some((service) => outward.includes(service)))
            findings.add(
              [
                problem(
                  '/network',
                  'service-not-offered',
                  `The offering ${offering.name} of the network has nothing that uses a public address`,
                  'Use a network whose offering has source-nat, static-nat, port-forward or load-balancer.',
                ),
              ],
              409,
            );
        }
        findings.check();
        assertFound(network);
        const { generation, waitsFor } = await touchNetwork(trx, network.id, touches(false));
        const row = await allocatePublicIp(trx, network, {
          sourceNat: false,
          generation,
          address: body.address,
        });
        await recordEvent(trx, {
          account: row.account_id,
          type: 'public-ip.acquired',
          resource: row.id,
          message: `Public address ${row.address} was acquired for the network ${network.name}`,
        });
        const operation = await startOperation(trx, {
          account: row.account_id,
          type: 'public-ip.acquire',
          resource: row.id,
          waitsFor,
          message: `${row.address} is given to the router`,
        });
        return { id: row.id, operation };
      },
    )
    .remove(async ({ trx, findings }, row) => {
      const uses = (await publicIpUses(trx, [row.id])).get(row.id) ?? [];
      findings.add(
        [
          ...(row.source_nat === 1
            ? [
                problem(
                  '',
                  'source-nat-address',
                  `${row.address} is the address all guests of the network leave with`,
                  'It goes with the network.',
                ),
              ]
            : []),
          ...uses
            .slice(0, 50)
            .map(({ id, kind: what }) =>
              problem(
                '',
                'address-in-use',
                `${row.address} is used by the ${what} ${id}`,
                `Delete ${id} first.`,
              ),
            ),
        ],
        409,
      );
      findings.check();
      await deleteRow(trx, 'public_ip', row.id);
      const { waitsFor } = await touchNetwork(trx, row.network_id, touches(false));
      await recordEvent(trx, {
        account: row.account_id,
        type: 'public-ip.released',
        resource: row.id,
        message: `Public address ${row.address} was released`,
      });
      const operation = await startOperation(trx, {
        account: row.account_id,
        type: 'public-ip.release',
        resource: row.id,
        waitsFor,
        message: `${row.address} is taken from the router`,
      });
      return { operation };
    });
};
