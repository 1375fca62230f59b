import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { MetadataGuest, RouterDocument } from 'documents';
import { metadataServer } from '../../metadata/apply.ts';
import { metadataFeature as feature } from '../../metadata/feature.ts';
import { render as renderMetadata } from '../../metadata/render.ts';
import { document } from './document.ts';
import { type Machine, TestNetwork } from './network.ts';
import { removeSystem, testSystem } from './test-system.ts';

const network = new TestNetwork();
const system = testSystem();
test.after.always(() => {
  metadataServer(system).close();
  removeSystem(system);
  network.remove();
});

const guests = network.addSwitch('guest0', ['10.1.1.1/24']);
const web = network.addMachine(guests, 'web', '02:00:00:00:01:11');
const db = network.addMachine(guests, 'db', '02:00:00:00:01:12');
const stranger = network.addMachine(guests, 'no', '02:00:00:00:01:66');
web.configure('10.1.1.11/24');
db.configure('10.1.1.12/24');
stranger.configure('10.1.1.66/24');

/** Every byte there is: what is not binary-safe cannot carry it. */
const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
const keys = ['ssh-ed25519 AAAAC3Nza one@laptop', 'ssh-rsa AAAAB3Nza two@desk'];

const guest = (name: string, address: string, parts: Partial<MetadataGuest> = {}): MetadataGuest => ({
  id: `port-${name}`,
  leg: 'leg-guest0',
  address,
  instance: `ins-${name}`,
  hostname: name,
  userData: '',
  publicKeys: [],
  metaData: { 'availability-zone': 'zone one', 'service-offering': 'small' },
  ...parts,
});

const served = (...metadataGuests: MetadataGuest[]): RouterDocument =>
  document({
    metadataGuests,
    sourceNats: [
      {
        id: 'snat-1',
        leg: 'leg-guest0',
        outLeg: 'leg-public0',
        publicAddress: '203.0.113.10',
        ports: { first: 1024, last: 65535 },
      },
    ],
    staticNats: [{ id: 'sn-1', publicAddress: '203.0.113.11', guestAddress: '10.1.1.12' }],
  });

const both = served(
  guest('db', '10.1.1.12', { password: 'db-Secret1' }),
  guest('web', '10.1.1.11', {
    userData: bytes.toString('base64'),
    publicKeys: keys,
    password: 'web-Secret1',
  }),
);

/** Body and status as curl saw them, byte for byte. */
const get = async (
  machine: Machine,
  path: string,
  ...more: string[]
): Promise<{ status: number; body: string }> => {
  const args = ['-s', '-m', '5', '-w', '%{http_code}', ...more, `http://10.1.1.1${path}`];
  const { stdout } = await machine.run('/usr/bin/curl', args);
  return { status: Number(stdout.slice(-3)), body: stdout.slice(0, -3) };
};

const password = async (machine: Machine, word: string): Promise<string> =>
  (await get(machine, ':8080/', '-H', `DomU_Request: ${word}`)).body;

test.serial('listens once its address is there', async (t) => {
  const elsewhere = document({
    ...both,
    legs: both.legs.map((leg) => (leg.role === 'guest' ? { ...leg, addresses: ['10.1.1.2/24'] } : leg)),
  });
  const { changes } = await feature.apply(system, feature.render(elsewhere), null);
  t.true(
    changes.every((change) => change.includes('waits for the address')),
    changes.join(),
  );
  t.regex(await feature.diff(system, feature.render(elsewhere)), /not bound/);
  await network.router.run('/usr/sbin/ip', ['addr', 'add', '10.1.1.2/24', 'dev', 'guest0']);
  for (let tries = 0; tries < 50 && metadataServer(system).missing.length > 0; tries += 1) await sleep(50);
  t.deepEqual(metadataServer(system).missing, []);
  const { changes: moved } = await feature.apply(system, feature.render(both), feature.render(elsewhere));
  t.is(moved.filter((change) => change.includes('no longer')).length, 2);
  t.is(await feature.diff(system, feature.render(both)), '');
});

test.serial('serves what CloudStack guests ask, under all the paths they use', async (t) => {
  const text = async (path: string): Promise<string> => (await get(web, path)).body;
  t.is(
    await text('/latest/meta-data/'),
    [
      'availability-zone',
      'instance-id',
      'local-hostname',
      'local-ipv4',
      'public-hostname',
      'public-ipv4',
      'public-keys',
      'service-offering',
      'vm-id',
    ].join('\n'),
  );
  t.is(await text('/latest/meta-data'), await text('/latest/meta-data/'));
  t.is(await text('/latest/meta-data/instance-id'), 'ins-web');
  t.is(await text('/latest/instance-id'), 'ins-web');
  t.is(await text('/2009-04-04/meta-data/local-hostname'), 'web');
  t.is(await text('/latest/meta-data/availability-zone'), 'zone one');
  t.is(await text('/latest/public-keys'), keys.join('\n'));
  t.is(await text('/latest/meta-data/public-keys/1/openssh-key'), keys[1] ?? '');
  t.is(await text('/latest/meta-data/public-ipv4'), '203.0.113.10');
  t.is((await get(db, '/latest/public-ipv4')).body, '203.0.113.11');
  t.is(await text('/latest/user-data'), bytes.toString('latin1'));
  for (const path of [
    '/latest/nothing',
    '/latest/meta-data/nothing',
    '/etc/passwd',
    '/latest/../x',
    '/nosuch/user-data',
  ]) {
    t.is((await get(web, path, '--path-as-is')).status, 404, path);
  }
  t.is((await get(db, '/latest/user-data')).status, 404, 'a guest without user data');
});

test.serial('a guest reads its own data and nobody else does', async (t) => {
  t.is((await get(db, '/latest/local-hostname')).body, 'db');
  const forged = ['-H', 'X-Forwarded-For: 10.1.1.11', '-H', 'Host: 10.1.1.11'];
  t.is((await get(db, '/latest/local-hostname', ...forged)).body, 'db');
  for (const path of ['/latest/user-data', '/latest/meta-data/', '/latest/instance-id']) {
    t.like(await get(stranger, path), { status: 404, body: 'not found\n' });
  }
  t.like(await get(stranger, ':8080/', '-H', 'DomU_Request: send_my_password'), { status: 404 });
});

test.serial('only reading is allowed, and within bounds', async (t) => {
  t.is((await get(web, '/latest/user-data', '-X', 'POST', '-d', 'x')).status, 405);
  t.is((await get(web, '/latest/user-data', '-H', `X: ${'a'.repeat(9000)}`)).status, 431);
  t.is((await get(web, '/latest/instance-id', '-I')).status, 200);
});

test.serial('a guest that holds connections open hinders nobody', async (t) => {
  // From the router itself, which counts as one more client: more connections than a client may have, each sending a
  // request byte by byte.
  const sockets = Array.from({ length: 40 }, () => connect(80, '10.1.1.1'));
  let closed = 0;
  for (const socket of sockets) {
    socket.on('error', () => undefined);
    socket.on('close', () => (closed += 1));
    socket.write('GET / HTTP/1.1\r\nX-A: ');
  }
  t.teardown(() => sockets.forEach((socket) => socket.destroy()));
  for (let tries = 0; tries < 40 && closed < 24; tries += 1) await sleep(50);
  t.true(closed >= 24, `${closed} of 40 refused at once`);
  t.is((await get(web, '/latest/instance-id')).body, 'ins-web');
  for (let tries = 0; tries < 90 && closed < 40; tries += 1) {
    for (const socket of sockets) if (!socket.destroyed) socket.write('a');
    await sleep(100);
  }
  t.is(closed, 40, 'the slow ones are cut off within seconds');
});

test.serial(
  'a password is given until it is saved, then never again, not even after a restart',
  async (t) => {
    t.is(await password(web, 'send_my_password'), 'web-Secret1');
    t.is(await password(web, 'send_my_password'), 'web-Secret1', 'not saved yet');
    t.is(await password(db, 'send_my_password'), 'db-Secret1');
    t.is(await password(web, 'what'), 'bad_request');
    t.like(await get(web, ':8080/'), { status: 400, body: 'bad_request' });
    t.is(await password(web, 'saved_password'), 'saved_password');
    t.is(await password(web, 'send_my_password'), 'saved_password');
    t.deepEqual(
      system.reports.map(({ type, subject }) => [type, subject]),
      [['guest.password-saved', 'port-web']],
    );
    t.is(await password(db, 'send_my_password'), 'db-Secret1', "another guest's is untouched");

    metadataServer(system).close();
    const second = testSystem(system.directory);
    t.teardown(() => metadataServer(second).close());
    await feature.apply(second, feature.render(both), null);
    t.is(await password(web, 'send_my_password'), 'saved_password');
    t.deepEqual(
      second.reports.map(({ type }) => type),
      ['guest.password-saved'],
      'told again, in case it was not heard',
    );
    const { stdout } = await system.exec.run('/usr/bin/stat', [
      '-c',
      '%a',
      `${system.directory}/metadata/taken-passwords.json`,
    ]);
    t.is(stdout.trim(), '600');
    t.notRegex(
      (await system.files.read(`${system.directory}/metadata/taken-passwords.json`)) ?? '',
      /Secret/,
    );

    // A new password for the same guest is given; once the document lists none, nothing of it is kept.
    await feature.apply(
      second,
      feature.render(served(guest('web', '10.1.1.11', { password: 'web-Secret2' }))),
      null,
    );
    t.is(await password(web, 'send_my_password'), 'web-Secret2');
    await feature.apply(second, feature.render(served(guest('web', '10.1.1.11'))), null);
    t.is(await password(web, 'send_my_password'), 'saved_password');
    t.is(await system.files.read(`${system.directory}/metadata/taken-passwords.json`), '{}\n');
    t.like(await get(db, '/latest/instance-id'), { status: 404 }, 'db is no guest any more');
  },
);

test.serial('what differs is told without secrets', async (t) => {
  const third = testSystem(system.directory);
  t.teardown(() => metadataServer(third).close());
  const text = await feature.diff(third, feature.render(both));
  t.regex(text, /metadata of ins-web at 10\.1\.1\.11/);
  t.notRegex(text, /Secret/);
});

test.serial(
  'a guest that came while one daemon takes over from another is answered by who knows it',
  async (t) => {
    const late = testSystem(system.directory);
    const server = metadataServer(late);
    t.teardown(() => server.close());
    const other = 'http://10.1.1.2/latest/instance-id';
    const ask = async () =>
      (await web.run('/usr/bin/curl', ['-s', '-m', '5', '-w', '%{http_code}', other])).stdout;
    const at = (...known: MetadataGuest[]) => {
      const rendered = renderMetadata(served(...known));
      return { ...rendered, listeners: ['10.1.1.2'] };
    };
    await server.besides(at(guest('db', '10.1.1.12')));
    const asked = ask();
    t.is(await Promise.race([asked, sleep(300)]), undefined, 'it may be known to the one that ends');
    await server.set(at(guest('db', '10.1.1.12'), guest('web', '10.1.1.11')));
    t.is(await asked, 'ins-web200');
    await server.set(at(guest('db', '10.1.1.12')));
    t.is(await ask(), 'not found\n404', 'control: in charge, it does not wait');
  },
);
