import { type Static, Type } from 'typebox';
import { claimConflicts } from '../../model/conflicts.ts';
import { assertFound } from '../../model/findings.ts';
import { problem } from '../../model/problem.ts';
import { touchRule } from '../../plan/touched.ts';
import { newId } from '../../store/id.ts';
import { deleteRow, insertRow, updateRow } from '../../store/rows.ts';
import { claimsOn, staticNatOf } from '../../store/rules.ts';
import type { Trx } from '../../store/transaction.ts';
import type { Register } from '../register.ts';
import type { Kind, Write } from '../kind.ts';
import {
  appliedConditions,
  deliverRule,
  guestPortFor,
  guestsByPort,
  publicAddresses,
  publicIpFor,
} from '../rules.ts';
import { body, Id, isoTime, Name, oneOf, Port, resourceSchema } from '../schemas.ts';

const protocol = oneOf(['tcp', 'http']);
const algorithm = oneOf(['roundrobin', 'leastconn', 'source'], {
  description: "haproxy's own names (configuration manual, 4.2 balance).",
});

const MemberGiven = Type.Object(
  {
    instance: Type.Optional(Id),
    portId: Type.Optional(
      Type.String({ maxLength: 63, description: 'Port of a guest, instead of instance.' }),
    ),
    port: Port,
    draining: Type.Optional(
      Type.Boolean({ description: 'True: keeps the sessions it has and gets no new ones.' }),
    ),
  },
  { additionalProperties: false },
);
const members = Type.Array(MemberGiven, { maxItems: 1024 });

const LoadBalancer = resourceSchema(
  'LoadBalancer',
  'Connections to a port of a public address, spread over guests.',
  {
    account: Id,
    network: Id,
    name: Name,
    publicIp: Id,
    address: Type.String(),
    port: Type.Integer(),
    protocol,
    algorithm,
    members: Type.Array(
      Type.Object({
        id: Id,
        instance: Id,
        portId: Id,
        address: Type.String(),
        port: Type.Integer(),
        draining: Type.Boolean(),
      }),
    ),
  },
);

const kind: Kind<'load_balancer', typeof LoadBalancer> = {
  name: 'load balancer',
  path: 'load-balancers',
  word: 'LoadBalancer',
  table: 'load_balancer',
  schema: LoadBalancer,
  readers: 'owner',
  writers: 'owner',
  render: async (db, rows, now) => {
    const conditions = await appliedConditions(db, rows, now);
    const ids = rows.map(({ id }) => id);
    const addresses = await publicAddresses(
      db,
      rows.map(({ public_ip_id }) => public_ip_id),
    );
    const all =
      ids.length === 0
        ? []
        : await db
            .selectFrom('load_balancer_member')
            .selectAll()
            .where('load_balancer_id', 'in', ids)
            .orderBy('id')
            .execute();
    const guests = await guestsByPort(
      db,
      all.map(({ port_id }) => port_id),
    );
    return rows.map((row, index) => ({
      id: row.id,
      account: row.account_id,
      network: row.network_id,
      name: row.name,
      publicIp: row.public_ip_id,
      address: addresses.get(row.public_ip_id) ?? '',
      port: row.port,
      protocol: row.protocol,
      algorithm: row.algorithm,
      members: all
        .filter(({ load_balancer_id }) => load_balancer_id === row.id)
        .map((member) => ({
          id: member.id,
          instance: guests.get(member.port_id)?.instance ?? '',
          portId: member.port_id,
          address: guests.get(member.port_id)?.address ?? '',
          port: member.guest_port,
          draining: member.draining === 1,
        })),
      createdAt: isoTime(row.created_at),
      conditions: conditions[index] ?? [],
    }));
  },
};

interface Member {
  readonly port_id: string;
  readonly guest_port: number;
  readonly draining: number;
}

/** Members as they are stored; findings where a guest is not there, or stands there twice. */
const membersFor = async (
  write: Pick<Write<unknown>, 'trx' | 'caller' | 'findings'>,
  networkId: string,
  given: Static<typeof members>,
): Promise<Member[]> => {
  const found: Member[] = [];
  const seen = new Map<string, number>();
  for (const [index, member] of given.entries()) {
    const pointer = `/members/${index}`;
    const guest = await guestPortFor(
      write,
      networkId,
      { instance: member.instance, port: member.portId },
      { instance: `${pointer}/instance`, port: `${pointer}/portId` },
    );
    if (guest === undefined) continue;
    const key = `${guest.id} ${member.port}`;
    const before = seen.get(key);
    if (before !== undefined)
      write.findings.add([
        problem(
          pointer,
          'duplicate',
          `Port ${member.port} of ${guest.address} is member ${before} already`,
          'List every member once.',
        ),
      ]);
    seen.set(key, index);
    found.push({
      port_id: guest.id,
      guest_port: member.port,
      draining: member.draining === true ? 1 : 0,
    });
  }
  return found;
};

/** Makes the members what is wanted. Those that stay keep their ids, so their sessions stay, too. */
const storeMembers = async (trx: Trx, id: string, wanted: readonly Member[]): Promise<void> => {
  const key = ({ port_id, guest_port }: Member) => `${port_id} ${guest_port}`;
  const present = await trx
    .selectFrom('load_balancer_member')
    .selectAll()
    .where('load_balancer_id', '=', id)
    .execute();
  const known = new Map(present.map((member) => [key(member), member]));
  const keep = new Set(wanted.map(key));
  for (const member of present)
    if (!keep.has(key(member)))
      await trx.deleteFrom('load_balancer_member').where('id', '=', member.id).execute();
  for (const member of wanted) {
    const before = known.get(key(member));
    if (before === undefined)
      await trx
        .insertInto('load_balancer_member')
        .values({ id: newId('mem'), load_balancer_id: id, ...member })
        .execute();
    else if (before.draining !== member.draining)
      await trx
        .updateTable('load_balancer_member')
        .set({ draining: member.draining })
        .where('id', '=', before.id)
        .execute();
  }
};

export const loadBalancers: Register = (resource) => {
  resource(kind)
    .list({
      filters: {
        publicIp: { column: 'public_ip_id', schema: Id },
        network: { column: 'network_id', schema: Id },
        name: { column: 'name', schema: Name },
      },
    })
    .show()
    .create(
      body({
        name: Name,
        publicIp: Id,
        port: Port,
        protocol: Type.Optional(protocol),
        algorithm: Type.Optional(algorithm),
        members: Type.Optional(members),
      }),
      { description: 'The firewall still has to open the port.' },
      async (write) => {
        const { trx, body, findings } = write;
        const ip = await publicIpFor(write, body.publicIp, 'load-balancer');
        const wanted = { protocol: 'tcp' as const, first: body.port, last: body.port };
        const found = ip === undefined ? [] : await membersFor(write, ip.network_id, body.members ?? []);
        if (ip !== undefined)
          findings.add(
            claimConflicts(
              wanted,
              ip.address,
              await claimsOn(trx, ip.id, wanted),
              await staticNatOf(trx, 'public_ip_id', ip.id),
              '/port',
            ),
            409,
          );
        findings.check();
        assertFound(ip);
        const row = await insertRow(trx, 'load_balancer', 'lb', {
          network_id: ip.network_id,
          account_id: ip.account_id,
          name: body.name,
          public_ip_id: ip.id,
          port: body.port,
          protocol: body.protocol ?? 'tcp',
          algorithm: body.algorithm ?? 'roundrobin',
          generation: 0,
        });
        await storeMembers(trx, row.id, found);
        const { generation, operation } = await deliverRule(trx, {
          network: ip.network_id,
          account: ip.account_id,
          id: row.id,
          kind: 'load-balancer',
          verb: 'created',
          touches: touchRule('loadBalancers', row.id),
          words: `${row.name}, ${row.protocol} ${row.port} of ${ip.address} over ${found.length} guests`,
        });
        await trx.updateTable('load_balancer').set({ generation }).where('id', '=', row.id).execute();
        return { id: row.id, operation };
      },
    )
    .change(
      body({
        name: Type.Optional(Name),
        algorithm: Type.Optional(algorithm),
        members: Type.Optional(members),
      }),
      async (write, row) => {
        const { trx, body, findings } = write;
        const found =
          body.members === undefined ? undefined : await membersFor(write, row.network_id, body.members);
        findings.check();
        if (found !== undefined) await storeMembers(trx, row.id, found);
        const { generation, operation } = await deliverRule(trx, {
          network: row.network_id,
          account: row.account_id,
          id: row.id,
          kind: 'load-balancer',
          verb: 'changed',
          touches: touchRule('loadBalancers', row.id),
          words: `${body.name ?? row.name}${found === undefined ? '' : `, ${found.length} guests`}`,
        });
        await updateRow(trx, 'load_balancer', row.id, {
          name: body.name ?? row.name,
          algorithm: body.algorithm ?? row.algorithm,
          generation,
        });
        return { operation };
      },
    )
    .remove(async ({ trx }, row) => {
      await deleteRow(trx, 'load_balancer', row.id);
      const { operation } = await deliverRule(trx, {
        network: row.network_id,
        account: row.account_id,
        id: row.id,
        kind: 'load-balancer',
        verb: 'removed',
        touches: touchRule('loadBalancers', row.id),
        words: `${row.name}, ${row.protocol} ${row.port}`,
      });
      return { operation };
    });
};
