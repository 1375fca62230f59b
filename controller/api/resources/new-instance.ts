/** A new instance: its request, what is checked, and what it brings up. */
import { type Static, Type } from 'typebox';
import { newPassword } from '../../auth/password.ts';
import { guestAddressProblems } from '../../model/address-checks.ts';
import { assertFound } from '../../model/findings.ts';
import { hostnameOf } from '../../model/names.ts';
import { problem } from '../../model/problem.ts';
import { touchGuestPort } from '../../plan/touched.ts';
import { recordEvent } from '../../store/events.ts';
import { addGuestPort, guestWith, probeWith } from '../../store/instances.ts';
import { implementNetwork, type Network, routersOf } from '../../store/networks.ts';
import { newestWaits, startOperation, type WaitsFor } from '../../store/operations.ts';
import { touchNetwork } from '../../store/routers.ts';
import { insertRow } from '../../store/rows.ts';
import { touchHost } from '../../store/touch.ts';
import type { Write, Written } from '../kind.ts';
import { accountFor, namedRow, ownedRow } from '../references.ts';
import { body, Id, IdOrName, Ipv4, Name } from '../schemas.ts';

/** 32 KiB (as documents/router/metadata.ts) in base64. */
export const userData = Type.String({
  format: 'base64',
  maxLength: 43_692,
  description: 'Base64, at most 32 KiB decoded.',
});
export const publicKeys = Type.Array(Type.String({ pattern: '^[^\\r\\n]{1,8192}$' }), {
  maxItems: 64,
  description: 'SSH public keys, one line each.',
});
export const metaData = Type.Unsafe<Record<string, string>>({
  type: 'object',
  patternProperties: {
    '^[a-z0-9][a-z0-9-]{0,62}$': { type: 'string', maxLength: 4096, pattern: '^[^\\r\\n]*$' },
  },
  additionalProperties: false,
  maxProperties: 64,
  description: 'Further keys under /latest/meta-data/.',
});
export const hostname = Type.String({ format: 'hostname' });

/** Names the router itself goes by in the network. */
const RESERVED_HOSTNAMES = ['data-server', 'localhost'];

export const NewInstance = body({
  name: Name,
  network: Type.Optional(Id),
  address: Type.Optional(Ipv4),
  networks: Type.Optional(
    Type.Array(Type.Object({ network: Id, address: Type.Optional(Ipv4) }, { additionalProperties: false }), {
      minItems: 1,
      maxItems: 8,
      description: 'Instead of network and address: one port on each.',
    }),
  ),
  hostname: Type.Optional(hostname),
  userData: Type.Optional(userData),
  publicKeys: Type.Optional(publicKeys),
  metaData: Type.Optional(metaData),
  generatePassword: Type.Optional(
    Type.Boolean({ description: 'True: a one-time password, answered once and given to the guest once.' }),
  ),
  zone: Type.Optional(IdOrName),
  account: Type.Optional(IdOrName),
});

interface Place {
  readonly network: Network;
  readonly address: string | undefined;
}

/** The networks a new instance is on, checked: same zone and account, addresses free, host names unique. */
const placesFor = async (
  write: Write<Static<typeof NewInstance>>,
  wantedHostname: string,
): Promise<Place[]> => {
  const { trx, body, findings } = write;
  if ((body.network === undefined) === (body.networks === undefined))
    findings.add([
      problem(
        '/network',
        body.network === undefined ? 'missing-field' : 'too-many-fields',
        body.network === undefined
          ? 'It is not said which network the instance is on'
          : 'Both network and networks are given',
        'Give network (and address), or networks.',
      ),
    ]);
  if (body.networks !== undefined && body.address !== undefined)
    findings.add([
      problem('/address', 'too-many-fields', 'With networks, each has its own address', 'Move it there.'),
    ]);
  const given =
    body.networks?.map((place, index) => ({ ...place, pointer: `/networks/${index}` })) ??
    (body.network === undefined ? [] : [{ network: body.network, address: body.address, pointer: '' }]);
  const places: Place[] = [];
  for (const { network: id, address, pointer } of given) {
    const network = await ownedRow(write, 'network', id, `${pointer}/network`);
    if (network === undefined) continue;
    const [first] = places;
    if (places.some((place) => place.network.id === network.id))
      findings.add([
        problem(`${pointer}/network`, 'duplicate', `${id} stands here twice`, 'List a network once.'),
      ]);
    if (
      first !== undefined &&
      (first.network.zone_id !== network.zone_id || first.network.account_id !== network.account_id)
    )
      findings.add([
        problem(
          `${pointer}/network`,
          'other-zone',
          `${id} is in another zone or account than ${first.network.id}`,
          'All networks of an instance are of one zone and account.',
        ),
      ]);
    if (address !== undefined) {
      findings.add(guestAddressProblems(address, network, `${pointer}/address`));
      const holder =
        (await guestWith(trx, network.id, { address })) ?? (await probeWith(trx, network.id, address));
      if (holder !== undefined)
        findings.add(
          [
            problem(
              `${pointer}/address`,
              'address-taken',
              `${address} belongs to ${holder.name === null ? 'a probe' : `the instance ${holder.name}`} (${holder.id})`,
              'Give another address, or none to have one chosen.',
            ),
          ],
          409,
        );
    }
    const namesake = await guestWith(trx, network.id, { hostname: wantedHostname });
    if (namesake !== undefined)
      findings.add(
        [
          problem(
            '/hostname',
            'hostname-taken',
            `The instance ${namesake.name} (${namesake.id}) on ${network.name} is called ${wantedHostname} already`,
            'Give another hostname: guests find each other by it.',
          ),
        ],
        409,
      );
    places.push({ network, address });
  }
  return places;
};

/** Account and zone follow from the network; when they are given they have to be those. */
const checkPlace = async (write: Write<Static<typeof NewInstance>>, network: Network): Promise<void> => {
  const { body, findings } = write;
  const account = body.account === undefined ? undefined : await accountFor(write, body.account);
  const zone = body.zone === undefined ? undefined : await namedRow(write, 'zone', body.zone, '/zone');
  for (const [field, given, own] of [
    ['account', account, network.account_id],
    ['zone', zone?.id, network.zone_id],
  ] as const)
    if (given !== undefined && given !== own)
      findings.add([
        problem(
          `/${field}`,
          `other-${field}`,
          `The network ${network.id} is of the ${field} ${own}, not ${given}`,
          `Leave ${field} out: it follows from the network.`,
        ),
      ]);
};

/** Makes sure every network has a router, all on one host. */
const implementAll = async (
  write: Pick<Write<unknown>, 'trx' | 'findings'>,
  places: readonly Place[],
): Promise<{ host: string; waitsFor: WaitsFor[] }> => {
  const { trx, findings } = write;
  const waitsFor: WaitsFor[] = [];
  let host: string | undefined;
  // Networks that run already decide the host; one that starts has to follow.
  const running = new Map<string, string>();
  for (const { network } of places) {
    const [router] = await routersOf(trx, network.id);
    if (router !== undefined) running.set(network.id, router.host_id);
  }
  const ordered = [...places].sort(
    (a, b) => Number(running.has(b.network.id)) - Number(running.has(a.network.id)),
  );
  for (const { network } of ordered) {
    const implementation = await implementNetwork(trx, network.id, host);
    host ??= implementation.host;
    waitsFor.push(...implementation.waitsFor);
    if (implementation.host !== host)
      findings.add(
        [
          problem(
            '/networks',
            'other-host',
            `The network ${network.name} runs on the host ${implementation.host}, the others on ${host}`,
            'Put the instance on networks that run on one host.',
          ),
        ],
        409,
      );
  }
  return { host: host as string, waitsFor };
};

/** Makes the instance, its ports, and its networks' routers where there are none yet. */
export const createInstance = async (write: Write<Static<typeof NewInstance>>): Promise<Written> => {
  const { trx, context, body, findings } = write;
  const wantedHostname = body.hostname ?? hostnameOf(body.name, 'guest');
  if (RESERVED_HOSTNAMES.includes(wantedHostname))
    findings.add([
      problem(
        '/hostname',
        'hostname-reserved',
        `${wantedHostname} is what the router is called in the network`,
        'Give another hostname.',
      ),
    ]);
  const places = await placesFor(write, wantedHostname);
  const [first] = places;
  if (first !== undefined) await checkPlace(write, first.network);
  findings.check();
  assertFound(first);
  const { host, waitsFor } = await implementAll(write, places);
  findings.check();
  const password = body.generatePassword === true ? newPassword() : null;
  const row = await insertRow(trx, 'instance', 'ins', {
    account_id: first.network.account_id,
    zone_id: first.network.zone_id,
    host_id: host,
    name: body.name,
    hostname: wantedHostname,
    wanted_state: 'running',
    user_data: body.userData ?? '',
    public_keys: JSON.stringify(body.publicKeys ?? []),
    meta_data: JSON.stringify(body.metaData ?? {}),
    password: null,
  });
  if (password !== null)
    await trx
      .updateTable('instance')
      .set({ password: context.store.secrets.encrypt(password, row.id) })
      .where('id', '=', row.id)
      .execute();
  for (const { network, address } of places) {
    const port = await addGuestPort(trx, network, row.id, address);
    await trx.updateTable('network').set({ idle_since: null }).where('id', '=', network.id).execute();
    waitsFor.push(...(await touchNetwork(trx, network.id, () => touchGuestPort(port.id))).waitsFor);
  }
  const generation = await touchHost(trx, host);
  await recordEvent(trx, {
    account: row.account_id,
    type: 'instance.created',
    resource: row.id,
    message: `Instance ${row.name} was created on ${first.network.name}`,
  });
  const operation = await startOperation(trx, {
    account: row.account_id,
    type: 'instance.create',
    resource: row.id,
    waitsFor: [
      ...newestWaits(waitsFor),
      ...(generation === null ? [] : [{ host, generation }]),
      { machine: row.id, state: 'running' },
    ],
    message: `The host ${host} is asked to start it`,
  });
  return { id: row.id, operation, ...(password === null ? {} : { once: { password } }) };
};
