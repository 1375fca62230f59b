/** What the resources that are rules of a router share: where they belong, how they get there, how they are read. */
import type { Condition } from 'documents';
import { applied } from '../model/conditions.ts';
import { problem } from '../model/problem.ts';
import type { Service } from '../plan/facts.ts';
import type { Touch } from '../plan/touched.ts';
import { recordEvent } from '../store/events.ts';
import { startOperation } from '../store/operations.ts';
import { routersOfNetworks, touchNetwork } from '../store/routers.ts';
import { getRow } from '../store/rows.ts';
import type { Db, Trx } from '../store/transaction.ts';
import { ownedRow } from './references.ts';
import type { Write } from './kind.ts';
import { Id } from './schemas.ts';

type Asking = Pick<Write<unknown>, 'trx' | 'caller' | 'findings'>;

/** Adds a finding when the network's offering does not have the service. */
export const requireService = async (
  { trx, findings }: Asking,
  network: { readonly id: string; readonly offering_id: string },
  service: Service,
  pointer: string,
): Promise<void> => {
  const offering = await getRow(trx, 'network_offering', network.offering_id);
  if ((JSON.parse(offering.services) as string[]).includes(service)) return;
  findings.add(
    [
      problem(
        pointer,
        'service-not-offered',
        `The offering ${offering.name} of the network ${network.id} has no ${service}`,
        `Use a network whose offering has ${service}.`,
      ),
    ],
    409,
  );
};

/** The public address a rule is for, and that its network offers the service; findings where not. */
export const publicIpFor = async (asking: Asking, id: string, service: Service) => {
  const ip = await ownedRow(asking, 'public_ip', id, '/publicIp');
  if (ip === undefined) return undefined;
  const network = await getRow(asking.trx, 'network', ip.network_id);
  await requireService(asking, network, service, '/publicIp');
  return ip;
};

/** A guest as a rule names it: by its instance, or by one of its ports. */
export interface GuestGiven {
  readonly instance?: string | undefined;
  readonly port?: string | undefined;
}

/** The guest port on a network that a rule means; findings where there is none. */
export const guestPortFor = async (
  asking: Asking,
  networkId: string,
  given: GuestGiven,
  pointers: { readonly instance: string; readonly port: string },
): Promise<{ id: string; address: string; instance: string } | undefined> => {
  const { trx, findings } = asking;
  if ((given.instance === undefined) === (given.port === undefined)) {
    findings.add([
      problem(
        pointers.instance,
        given.instance === undefined ? 'missing-field' : 'too-many-fields',
        given.instance === undefined
          ? 'It is not said which guest'
          : 'The guest is named twice, as instance and as port',
        'Give the instance, or the port of one.',
      ),
    ]);
    return undefined;
  }
  if (given.instance !== undefined) {
    const instance = await ownedRow(asking, 'instance', given.instance, pointers.instance);
    if (instance === undefined) return undefined;
    const port = await trx
      .selectFrom('port')
      .select(['id', 'address'])
      .where('instance_id', '=', instance.id)
      .where('network_id', '=', networkId)
      .orderBy('id')
      .executeTakeFirst();
    if (port !== undefined) return { id: port.id, address: port.address as string, instance: instance.id };
    findings.add([
      problem(
        pointers.instance,
        'other-network',
        `The instance ${instance.id} is not on the network ${networkId} of the public address`,
        'Name an instance on that network, or a public address of its network.',
      ),
    ]);
    return undefined;
  }
  const port = await trx
    .selectFrom('port')
    .innerJoin('instance', 'instance.id', 'port.instance_id')
    .select(['port.id', 'port.address', 'port.network_id', 'instance.id as instance', 'instance.account_id'])
    .where('port.id', '=', given.port as string)
    .executeTakeFirst();
  const mine =
    port !== undefined && (asking.caller.role === 'admin' || port.account_id === asking.caller.account);
  if (!mine) {
    findings.add(
      [
        problem(
          pointers.port,
          'not-found',
          `There is no guest port ${given.port}`,
          'List them with GET /v1/ports.',
        ),
      ],
      404,
    );
    return undefined;
  }
  if (port.network_id !== networkId) {
    findings.add([
      problem(
        pointers.port,
        'other-network',
        `The port ${port.id} is not on the network ${networkId} of the public address`,
        'Name a port on that network.',
      ),
    ]);
    return undefined;
  }
  return { id: port.id, address: port.address as string, instance: port.instance };
};

/** A change of one rule, as it is delivered and told. */
export interface RuleChange {
  readonly network: string;
  readonly account: string;
  readonly id: string;
  /** `port-forward` */
  readonly kind: string;
  readonly verb: 'created' | 'changed' | 'removed';
  readonly touches: readonly Touch[];
  /** What it says: `tcp 80 of 203.0.113.10 to 10.1.1.2`. */
  readonly words: string;
}

/** Touches the router's document, tells of it, and begins the operation that waits for it. */
export const deliverRule = async (
  trx: Trx,
  change: RuleChange,
): Promise<{ generation: number; operation: string | null }> => {
  const { generation, waitsFor } = await touchNetwork(trx, change.network, () => [...change.touches]);
  await recordEvent(trx, {
    account: change.account,
    type: `${change.kind}.${change.verb}`,
    resource: change.id,
    message: `${change.kind.replaceAll('-', ' ')} ${change.verb}: ${change.words}`,
  });
  const operation = await startOperation(trx, {
    account: change.account,
    type: `${change.kind}.${{ created: 'create', changed: 'change', removed: 'remove' }[change.verb]}`,
    resource: change.id,
    waitsFor,
    message: change.words,
  });
  return { generation, operation };
};

/** `Applied` of each of these rules, by what their networks' routers reported. */
export const appliedConditions = async (
  db: Db,
  rows: readonly { readonly network_id: string; readonly generation: number; readonly created_at: number }[],
  now: number,
): Promise<Condition[][]> => {
  const routers = await routersOfNetworks(
    db,
    rows.map(({ network_id }) => network_id),
  );
  return rows.map((row) => [
    applied(
      { generation: row.generation, createdAt: row.created_at },
      routers.get(row.network_id) ?? null,
      now,
    ),
  ]);
};

/** Addresses of public IPs by id, for rows that name them. */
export const publicAddresses = async (
  trx: Db,
  ids: readonly string[],
): Promise<ReadonlyMap<string, string>> => {
  if (ids.length === 0) return new Map();
  const rows = await trx
    .selectFrom('public_ip')
    .select(['id', 'address'])
    .where('id', 'in', [...new Set(ids)])
    .execute();
  return new Map(rows.map(({ id, address }) => [id, address]));
};

/** Guests by their port ids. */
export const guestsByPort = async (
  db: Db,
  ids: readonly string[],
): Promise<ReadonlyMap<string, { readonly instance: string; readonly address: string }>> => {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('port')
    .select(['id', 'instance_id', 'address'])
    .where('id', 'in', [...new Set(ids)])
    .execute();
  return new Map(
    rows.map(({ id, instance_id, address }) => [
      id,
      { instance: instance_id as string, address: address as string },
    ]),
  );
};

/** List filter: rules of the guest ports of an instance. */
export const ofInstance = {
  column: 'port_id',
  schema: Id,
  values: async (db: Db, instance: string): Promise<string[]> =>
    (await db.selectFrom('port').select('id').where('instance_id', '=', instance).execute()).map(
      ({ id }) => id,
    ),
};
