/** What happens when somebody kills the daemon, changes the kernel behind its back, or sends it nonsense. */
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Condition, RouterDocument } from 'documents';
import { openNftables } from 'nftables-json';
import { routerDocument } from '../support/documents.ts';
import { answers } from '../support/answers.ts';
import { Lab } from '../support/lab.ts';

const open: Partial<RouterDocument> = {
  egressPolicies: [{ id: 'eg-1', leg: 'leg-guest0', default: 'allow' }],
  firewallRules: [
    {
      id: 'fw-1',
      publicAddress: '198.51.100.12',
      protocol: 'tcp',
      ports: { first: 80, last: 80 },
      sources: ['0.0.0.0/0'],
    },
  ],
  portForwards: [
    {
      id: 'pf-1',
      publicAddress: '198.51.100.12',
      protocol: 'tcp',
      publicPorts: { first: 80, last: 80 },
      guestAddress: '10.1.1.10',
      guestPorts: { first: 80, last: 80 },
    },
  ],
};

const labOf = async (t: ExecutionContext): Promise<Lab> => {
  const lab = new Lab();
  t.teardown(() => lab.close());
  await lab.start();
  await Promise.all([lab.web.serve(80), lab.outside.serve(80)]);
  return lab;
};

/** Sends an echo request every few ms until stopped, and counts what came back. */
const probes = (t: ExecutionContext, lab: Lab) => {
  const child = spawn(
    'ip',
    ['netns', 'exec', lab.web.netns, 'ping', '-n', '-i', '0.005', '-W', '1', '198.51.100.1'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  t.teardown(() => child.kill('SIGKILL'));
  let last = '';
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.includes('packets transmitted')) last = line;
  });
  return {
    stop: async (): Promise<{ readonly sent: number; readonly lost: number }> => {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGINT');
      await ended;
      const [, sent = '0', received = '0'] = /(\d+) packets transmitted, (\d+) received/.exec(last) ?? [];
      // The one on its way when the probing ends is not lost.
      return { sent: Number(sent), lost: Math.max(0, Number(sent) - Number(received) - 1) };
    },
  };
};

const generationOf = async (lab: Lab): Promise<number> => {
  const nftables = openNftables({ netns: `/run/netns/${lab.router}` });
  try {
    return await nftables.generation();
  } finally {
    await nftables.close();
  }
};

const until = async (met: () => Promise<boolean>, ms: number): Promise<boolean> => {
  const deadline = performance.now() + ms;
  while (performance.now() < deadline) {
    if (await met()) return true;
    await sleep(25);
  }
  return false;
};

test.serial('kill -9 loses no packet and no connection; the next start changes nothing', async (t) => {
  const lab = await labOf(t);
  await lab.put(routerDocument(open));
  const held = await lab.outside.open({ address: '198.51.100.12', port: 80 });
  const probing = probes(t, lab);
  await sleep(200);
  const before = await generationOf(lab);
  const routes = lab.ip('route');
  for (let turn = 0; turn < 3; turn += 1) {
    await lab.kill();
    await answers(t, () => lab.outside.say(held.handle), / 80$/);
    await answers(t, () => lab.outside.tcp({ address: '198.51.100.12', port: 80 }), / 80$/);
    await lab.start();
    await answers(t, () => lab.outside.say(held.handle), / 80$/);
  }
  const { sent, lost } = await probing.stop();
  t.true(sent > 100, `only ${sent} probes`);
  t.is(lost, 0);
  t.is(await generationOf(lab), before);
  t.is(lab.ip('route'), routes);
  t.deepEqual(await lab.events(), []);
  const { body } = await lab.call<{ readonly appliedGeneration: number }>('GET', '/v1/status');
  t.is(body.appliedGeneration, 1);
});

test.serial('control: the probes notice a gap of a tenth of a second', async (t) => {
  const lab = await labOf(t);
  await lab.put(routerDocument(open));
  await lab.kill();
  const probing = probes(t, lab);
  await sleep(200);
  lab.ip('link', 'set', 'public0', 'down');
  await sleep(100);
  lab.ip('link', 'set', 'public0', 'up');
  lab.ip('route', 'replace', 'default', 'via', '198.51.100.1', 'dev', 'public0');
  await sleep(200);
  t.true((await probing.stop()).lost > 5);
});

test.serial(
  'a guest that borrows a foreign source is not heard; without the check it would be',
  async (t) => {
    const lab = await labOf(t);
    await lab.put(routerDocument(open));
    // Everything else about it would work: the guest has the address, the router knows the way to it.
    execFileSync('ip', ['-n', lab.web.netns, 'address', 'add', '10.9.9.9/32', 'dev', 'eth0']);
    lab.ip('route', 'add', '10.9.9.9/32', 'dev', 'guest0');
    const spoofed = () => lab.web.udp({ address: '198.51.100.1', port: 80, from: '10.9.9.9', timeout: 1500 });
    t.is(await spoofed(), 'timeout');
    await lab.kill();
    lab.nft(
      'insert',
      'rule',
      'inet',
      'selvage',
      'leg_guest0',
      'ip',
      'saddr',
      '10.9.9.9',
      'goto',
      'from_guest',
    );
    await answers(t, () => spoofed(), /^198\.51\.100\.10 /);
  },
);

test.serial('a change made while the daemon was away is put back at its start, and only that', async (t) => {
  const lab = await labOf(t);
  await lab.put(routerDocument(open));
  await lab.kill();
  lab.nft('delete', 'element', 'inet', 'selvage', 'port_forwards', '{ 198.51.100.12 . tcp . 80 }');
  lab.ip('address', 'del', '198.51.100.12/24', 'dev', 'public0');
  t.not(await lab.outside.tcp({ address: '198.51.100.12', port: 80, timeout: 300 }), 'x');
  const before = await generationOf(lab);
  await lab.start();
  t.is(await generationOf(lab), before + 1);
  // The upstream machine asks for a lost neighbour once a second.
  const reached = async () => (await lab.outside.tcp({ address: '198.51.100.12', port: 80 })).endsWith(' 80');
  t.true(await until(reached, 4000));
});

test.serial('drift: what others remove or add is put right within two seconds and told', async (t) => {
  const lab = await labOf(t);
  await lab.put(routerDocument(open));
  const reached = async () =>
    (await lab.outside.tcp({ address: '198.51.100.12', port: 80, timeout: 200 })).endsWith(' 80');
  t.true(await until(reached, 2000));
  const harms: readonly (readonly [what: RegExp, harm: () => void, whole: () => boolean])[] = [
    [
      /port_forwards: 198\.51\.100\.12/,
      () => lab.nft('delete', 'element', 'inet', 'selvage', 'port_forwards', '{ 198.51.100.12 . tcp . 80 }'),
      () => lab.nft('list', 'map', 'inet', 'selvage', 'port_forwards').includes('10.1.1.10'),
    ],
    [
      /wrote chain firewall/,
      () => lab.nft('insert', 'rule', 'inet', 'selvage', 'firewall', 'accept'),
      () => !/chain firewall \{\s+accept/.test(lab.nft('list', 'chain', 'inet', 'selvage', 'firewall')),
    ],
    [
      /wrote the table/,
      () => lab.nft('flush', 'ruleset'),
      () => lab.nft('list', 'ruleset').includes('10.1.1.10'),
    ],
    [
      /added address 198\.51\.100\.12/,
      () => lab.ip('address', 'del', '198.51.100.12/24', 'dev', 'public0'),
      () => lab.ip('address', 'show', 'dev', 'public0').includes('198.51.100.12/24'),
    ],
    [
      /removed address 203\.0\.113\.5/,
      () => lab.ip('address', 'add', '203.0.113.5/24', 'dev', 'public0'),
      () => !lab.ip('address', 'show', 'dev', 'public0').includes('203.0.113.5'),
    ],
    [
      /set route default/,
      () => lab.ip('route', 'del', 'default'),
      () => lab.ip('route').includes('default via 198.51.100.1'),
    ],
    [
      /brought guest0 up/,
      () => lab.ip('link', 'set', 'guest0', 'down'),
      () => lab.ip('link', 'show', 'guest0').includes(',UP'),
    ],
  ];
  let told = 0;
  for (const [what, harm, whole] of harms) {
    harm();
    t.true(await until(async () => whole(), 2000), `${what} was not put back`);
    // Told once it is done: a moment after it can be seen.
    t.true(
      await until(
        async () => (await lab.events()).slice(told).some(({ message }) => what.test(message)),
        1000,
      ),
      String(what),
    );
    told = (await lab.events()).length;
    await sleep(150);
  }
  t.true(await until(reached, 2000));
  t.true((await lab.events()).every(({ type }) => type === 'router.drift-healed'));
  const { body } = await lab.call<{ readonly conditions: readonly { type: string; reason: string }[] }>(
    'GET',
    '/v1/status',
  );
  t.is(body.conditions.find(({ type }) => type === 'Drifted')?.reason, 'Healed');
  // Control: with the daemon gone nobody puts anything back.
  await lab.kill();
  lab.nft('flush', 'ruleset');
  t.false(await until(async () => lab.nft('list', 'ruleset') !== '', 1000));
});

test.serial('drift that returns as often as it is put back is stated, until it stops', async (t) => {
  const lab = await labOf(t);
  await lab.put(routerDocument(open));
  const drifted = async () => {
    const { body } = await lab.call<{ readonly conditions: readonly Condition[] }>('GET', '/v1/status');
    return body.conditions.find(({ type }) => type === 'Drifted');
  };
  const entry = () => lab.nft('list', 'map', 'inet', 'selvage', 'port_forwards').includes('10.1.1.10');
  const tear = () =>
    lab.nft('delete', 'element', 'inet', 'selvage', 'port_forwards', '{ 198.51.100.12 . tcp . 80 }');
  // Once is healed, and no more is made of it.
  tear();
  t.true(await until(async () => entry(), 2000));
  t.true(await until(async () => (await drifted())?.reason === 'Healed', 2000));
  t.is((await drifted())?.status, 'False');
  const seen: (Condition | undefined)[] = [];
  for (let turn = 0; turn < 12; turn += 1) {
    t.true(await until(async () => entry(), 2000), 'put back every time');
    tear();
    await sleep(300);
    seen.push(await drifted());
  }
  const first = seen.findIndex((condition) => condition?.status === 'True');
  t.true(first >= 2 && first <= 8, `stated from turn ${first} on`);
  // As long as it goes on it is one state with one time and one message: that is what sickness is counted by.
  for (const condition of seen.slice(first)) t.deepEqual(condition, seen[first]);
  t.is(seen[first]?.reason, 'Returning');
  t.regex(seen[first]?.message ?? '', /again and again.*port_forwards: 198\.51\.100\.12/);
  t.true(await until(async () => (await drifted())?.status === 'False', 10_000), 'it stopped');
  t.true(entry());
});

test.serial('our own changes are no drift', async (t) => {
  const lab = await labOf(t);
  for (let generation = 1; generation <= 5; generation += 1) {
    await lab.put(routerDocument({ ...(generation % 2 === 0 ? open : {}), generation }));
    await sleep(120);
  }
  await sleep(700);
  t.deepEqual(await lab.events(), []);
});

test.serial('a leg without its device waits for it, and the rest is in force', async (t) => {
  const lab = await labOf(t);
  const document = routerDocument(open);
  const second: RouterDocument['legs'][number] = {
    id: 'leg-guest1',
    role: 'guest',
    device: 'guest1',
    mac: '02:00:0a:02:01:01',
    mtu: 1450,
    addresses: ['10.2.1.1/24'],
    gateways: [],
  };
  const legs = [document.legs[0], second, document.legs[1]] as RouterDocument['legs'];
  const status = await lab.put({ ...document, legs });
  const condition = (type: string) => status.conditions.find((one) => one.type === type);
  t.is(condition('LegsPresent')?.reason, 'LegMissing');
  t.is(condition('Ready')?.status, 'False');
  t.is(status.appliedGeneration, 0);
  await answers(t, () => lab.outside.tcp({ address: '198.51.100.12', port: 80 }), / 80$/);
  execFileSync('ip', [
    '-n',
    lab.router,
    'link',
    'add',
    'guest1',
    'address',
    '02:00:0a:02:01:01',
    'type',
    'veth',
    'peer',
    'name',
    'far1',
  ]);
  t.true(
    await until(async () => {
      const { body } = await lab.call<{ readonly appliedGeneration: number }>('GET', '/v1/status');
      return body.appliedGeneration === 1;
    }, 2000),
  );
  t.true(lab.ip('address', 'show', 'dev', 'guest1').includes('10.2.1.1/24'));
  t.deepEqual(await lab.events(), []);
});

test.serial(
  'a refused document changes nothing and names every problem; a change needs its base',
  async (t) => {
    const lab = await labOf(t);
    await lab.put(routerDocument(open));
    const before = await generationOf(lab);
    const wrong = routerDocument({
      generation: 2,
      firewallRules: [
        {
          ...(open.firewallRules?.[0] as RouterDocument['firewallRules'][number]),
          publicAddress: '203.0.113.1',
        },
      ],
      portForwards: [
        { ...(open.portForwards?.[0] as RouterDocument['portForwards'][number]), guestAddress: '10.9.9.9' },
      ],
    });
    const refused = await lab.call<{ code: string; problems: readonly { pointer: string }[] }>(
      'PUT',
      '/v1/document',
      wrong,
    );
    t.is(refused.status, 422);
    t.deepEqual(
      refused.body.problems.map(({ pointer }) => pointer),
      ['/firewallRules/0/publicAddress', '/portForwards/0/guestAddress'],
    );
    const shapeless = await lab.call<{ problems: readonly { code: string }[] }>('PUT', '/v1/document', {
      ...wrong,
      surprise: 1,
      hostname: 'a"\nb',
    });
    t.deepEqual(shapeless.body.problems.map(({ code }) => code).toSorted(), ['bad-format', 'unknown-field']);
    t.is((await lab.call('PUT', '/v1/document')).status, 422);
    t.is(await generationOf(lab), before);

    const change = (baseGeneration: number, collections: object) => ({
      schemaVersion: 1,
      id: wrong.id,
      baseGeneration,
      generation: 3,
      collections,
    });
    const other = await lab.call<{ code: string }>('PATCH', '/v1/document', change(7, {}));
    t.is(other.status, 409);
    t.is(other.body.code, 'base-generation');
    const lost = await lab.call(
      'PATCH',
      '/v1/document',
      change(1, {
        egressPolicies: { upsert: [{ id: 'eg-2', leg: 'leg-none', default: 'deny' }], remove: [] },
      }),
    );
    t.is(lost.status, 422);
    const taken = await lab.call<{ appliedGeneration: number }>(
      'PATCH',
      '/v1/document',
      change(1, { portForwards: { upsert: [], remove: ['pf-1'] } }),
    );
    t.is(taken.status, 200);
    t.is(taken.body.appliedGeneration, 3);
    t.not(await lab.outside.tcp({ address: '198.51.100.12', port: 80, timeout: 300 }), 'x');
    // The change is on disk: a start after kill -9 has it.
    await lab.kill();
    await lab.start();
    const { body } = await lab.call<RouterDocument>('GET', '/v1/document');
    t.is(body.generation, 3);
    t.deepEqual(body.portForwards, []);
  },
);

test.serial('one-time passwords are stored for root only and never shown', async (t) => {
  const lab = await labOf(t);
  const guest = {
    id: 'md-1',
    leg: 'leg-guest0',
    address: '10.1.1.10',
    instance: 'ins-1',
    hostname: 'web',
    userData: '',
    publicKeys: [],
    metaData: {},
    password: 'sesame-open-1',
  };
  const document = routerDocument({ ...open, metadataGuests: [guest] });
  const before = await lab.call<{ text: string }>('POST', '/v1/diff', document);
  t.is(before.status, 200);
  t.regex(before.body.text, /add table inet selvage/);
  t.regex(before.body.text, /added address 10\.1\.1\.1\/24/);
  t.false(before.body.text.includes('sesame'));
  await lab.put(document);
  t.false(JSON.stringify((await lab.call('GET', '/v1/document')).body).includes('sesame'));
  t.true(readFileSync(`${lab.directory}/document.json`, 'utf8').includes('sesame'));
  t.is(statSync(`${lab.directory}/document.json`).mode & 0o777, 0o600);
  t.is((await lab.call<{ text: string }>('POST', '/v1/diff')).body.text, '');
});

test.serial('a killed nftables helper costs nothing: the next change starts another', async (t) => {
  const lab = await labOf(t);
  await lab.put(routerDocument({ ...open, portForwards: [] }));
  const [helper] = lab.helpers();
  t.truthy(helper);
  process.kill(helper as number, 'SIGKILL');
  await lab.put(routerDocument({ ...open, generation: 2 }));
  await answers(t, () => lab.outside.tcp({ address: '198.51.100.12', port: 80 }), / 80$/);
});

test.serial('a journal that ends in the middle of a line is read up to there', async (t) => {
  const lab = await labOf(t);
  await lab.put(routerDocument(open));
  const change = {
    schemaVersion: 1,
    id: 'rtr-000000000001',
    baseGeneration: 1,
    generation: 2,
    collections: { portForwards: { upsert: [], remove: ['pf-1'] } },
  };
  t.is((await lab.call('PATCH', '/v1/document', change)).status, 200);
  await lab.kill();
  writeFileSync(
    `${lab.directory}/document.changes`,
    `${JSON.stringify({ ...change, baseGeneration: 2, generation: 3 }).slice(0, 60)}`,
    { flag: 'a' },
  );
  await lab.start();
  t.is((await lab.call<RouterDocument>('GET', '/v1/document')).body.generation, 2);
});
