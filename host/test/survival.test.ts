import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { fdb, links, namespaces, openRouteSocket } from 'node-netlink';
import { cleanUp } from '../index.ts';
import { guest, hostDocument, idOf, segment } from './fixtures/documents.ts';
import { Rig, undisturbed } from './fixtures/rig.ts';

const document = (generation: number) =>
  hostDocument(
    generation,
    segment(1),
    segment(2, 'public'),
    guest(11, 1, '10.1.1.11'),
    guest(12, 1, '10.1.1.12'),
    guest(13, 2, '10.1.1.13', { secure: false }),
  );

/** Everything of the fabric that must not change while nothing is wrong. */
const fingerprint = async (rig: Rig) => {
  using route = openRouteSocket({ netns: rig.fabric });
  const entries = route
    .dump(fdb.dump())
    .filter(({ table }) => table === 'master')
    .map(({ link, mac, state, sticky }) => `${link} ${mac} ${state} ${sticky}`)
    .sort();
  const devices = route
    .dump(links.dump())
    .map(({ index, name, alias, master, up }) => ({ index, name, alias, master, up }));
  const rules = await rig.exec(rig.fabric, '/usr/sbin/nft', '-a', 'list', 'table', 'bridge', 'selvage');
  // Handles tell whether the table was written anew.
  return { devices, entries, rules: rules.stdout };
};

const startedAt = (pid: number) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19];

test.serial('kill -9 of the agent costs no packet, and the next start changes nothing', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = document(1);
  const program = rig.program();
  await rig.controller.ready(1);
  await Promise.all([rig.address(11, '10.1.1.11'), rig.address(12, '10.1.1.12')]);
  await rig.controller.until('clients run', () => rig.processesIn(rig.namespaceOf(11)).length === 1);
  const before = await fingerprint(rig);
  const clients = [11, 12, 13].map((number) => {
    const [pid] = rig.processesIn(rig.namespaceOf(number));
    return `${pid} ${startedAt(pid as number)}`;
  });
  let next = program;
  const said = await undisturbed(async () => {
    const probes = rig.start(
      rig.namespaceOf(11),
      ...(['ping', '-n', '-q', '-i', '0.01', '-c', '300', '10.1.1.12'] as const),
    );
    let text = '';
    probes.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    const ended = once(probes, 'exit');
    await sleep(500);
    next.kill('SIGKILL');
    await once(next, 'exit');
    await sleep(300);
    const hellos = rig.controller.hellos.length;
    const statuses = rig.controller.statuses.length;
    next = rig.program();
    await rig.controller.until('the next agent', () => rig.controller.hellos.length > hellos);
    await rig.controller.until('its status', () => rig.controller.statuses.length > statuses);
    await rig.controller.ready(1);
    await ended;
    return text;
  });
  t.regex(said, /300 packets transmitted, 300 received, 0% packet loss/);
  await sleep(200);
  t.deepEqual(await fingerprint(rig), before);
  t.deepEqual(
    [11, 12, 13].map((number) => {
      const [pid, ...more] = rig.processesIn(rig.namespaceOf(number));
      t.deepEqual(more, [], 'one DHCP client each');
      return `${pid} ${startedAt(pid as number)}`;
    }),
    clients,
  );
  t.deepEqual(rig.controller.events, []);
  // A polite end leaves everything as well.
  next.kill('SIGTERM');
  const [status] = (await once(next, 'exit')) as [number];
  t.is(status, 0);
  t.deepEqual(await fingerprint(rig), before);
});

test.serial(
  'killed at any moment while it makes and removes machines, the next start gets there',
  async (t) => {
    const rig = await Rig.make(t);
    const many = (generation: number, from: number, count: number) =>
      hostDocument(
        generation,
        segment(1),
        ...Array.from({ length: count }, (_, index) => guest(from + index, 1, `10.1.1.${from + index}`)),
      );
    let generation = 0;
    for (const [round, delay] of [40, 80, 120, 200, 300].entries()) {
      generation += 1;
      // Half of the guests stay from round to round, half are new.
      const wanted = many(generation, 20 + round * 4, 8);
      rig.controller.document = wanted;
      const hellos = rig.controller.hellos.length;
      const killed = rig.program();
      await rig.controller.until('hello', () => rig.controller.hellos.length > hellos);
      await sleep(delay / 4);
      killed.kill('SIGKILL');
      await once(killed, 'exit');
      const statuses = rig.controller.statuses.length;
      const next = rig.program();
      await rig.controller.until('ready', () =>
        rig.controller.statuses
          .slice(statuses)
          .some(
            ({ observedGeneration, conditions }) =>
              observedGeneration === generation &&
              conditions[0]?.type === 'Ready' &&
              conditions[0].status === 'True',
          ),
      );
      await rig.controller.until('one DHCP client each', () =>
        wanted.machines.every(({ id }) => rig.processesIn(`${rig.prefix}-${id}`).length === 1),
      );
      t.deepEqual(
        rig
          .links()
          .map(({ name }) => name)
          .sort(),
        ['br000000000001', 'lo', ...wanted.ports.map(({ device }) => device)],
      );
      t.deepEqual(
        namespaces.list().filter((name) => name.startsWith(`${rig.prefix}-ins-`)),
        wanted.machines.map(({ id }) => `${rig.prefix}-${id}`),
      );
      next.kill('SIGTERM');
      await once(next, 'exit');
    }
  },
);

test.serial('a machine whose namespace is taken away comes back', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = document(1);
  await rig.agent();
  await rig.controller.ready(1);
  await rig.controller.until('client runs', () => rig.processesIn(rig.namespaceOf(11)).length === 1);
  const [client] = rig.processesIn(rig.namespaceOf(11));
  namespaces.remove(rig.namespaceOf(11));
  await rig.controller.until('its return', () => rig.processesIn(rig.namespaceOf(11)).length === 1);
  await rig.controller.until('its port', () =>
    rig.links(rig.namespaceOf(11)).some(({ name, up }) => name === 'eth0' && up),
  );
  t.notDeepEqual(rig.processesIn(rig.namespaceOf(11)), [client]);
  await Promise.all([rig.address(11, '10.1.1.11'), rig.address(12, '10.1.1.12')]);
  t.true(await rig.reaches(11, '10.1.1.12'));
  // Nobody is left in the nameless one.
  t.throws(() => process.kill(client as number, 0));
});

test.serial('without a controller the agent keeps to the last document', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = document(1);
  const agent = await rig.agent();
  await rig.controller.ready(1);
  await agent.close();
  rig.controller.broken = true;
  using route = openRouteSocket({ netns: rig.fabric });
  route.send(links.remove({ name: 'pt000000000011' }));
  namespaces.remove(rig.namespaceOf(12));
  await rig.agent();
  const names = rig.links().map(({ name }) => name);
  t.true(names.includes('pt000000000011'));
  t.true(namespaces.exists(rig.namespaceOf(12)));
});

test.serial('drift heals within two seconds and is told', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = document(1);
  await rig.agent();
  await rig.controller.ready(1);
  await Promise.all([rig.address(11, '10.1.1.11'), rig.address(12, '10.1.1.12')]);
  t.true(await rig.reaches(11, '10.1.1.12'));
  await sleep(300);
  t.deepEqual(rig.controller.events, []);
  const nft = (...args: readonly string[]) => rig.exec(rig.fabric, '/usr/sbin/nft', ...args);
  const wrong: Readonly<Record<string, readonly [words: RegExp, damage: () => Promise<unknown> | void]>> = {
    'a bridge removed': [
      /bridge br000000000002 was missing/,
      () => change(links.remove({ name: 'br000000000002' })),
    ],
    'a port removed': [
      /port pt000000000012 was missing/,
      () => change(links.remove({ name: 'pt000000000012' })),
    ],
    'a port taken out of its bridge': [
      /port pt000000000011 is not in its bridge/,
      () => change(links.set({ name: 'pt000000000011', master: null })),
    ],
    'a port set down': [
      /port pt000000000011 is down/,
      () => change(links.set({ name: 'pt000000000011', up: false })),
    ],
    'a port that learns': [
      /port pt000000000011 learns/,
      () => change(links.set({ name: 'pt000000000011', bridgePort: { learning: true } })),
    ],
    'a forwarding entry removed': [
      /02:00:00:00:00:0b was not placed/,
      () => change(fdb.remove({ dev: 'pt000000000011', mac: '02:00:00:00:00:0b' })),
    ],
    'a forwarding entry moved': [
      /02:00:00:00:00:0b was not placed/,
      () => change(fdb.replace({ dev: 'pt000000000012', mac: '02:00:00:00:00:0b' })),
    ],
    'a foreign forwarding entry': [
      /02:00:00:00:99:99 was placed/,
      () => change(fdb.add({ dev: 'pt000000000012', mac: '02:00:00:00:99:99' })),
    ],
    'an MTU changed': [
      /bridge br000000000001 has MTU 1400/,
      () => change(links.set({ name: 'br000000000001', mtu: 1400 })),
    ],
    'the bridge table removed': [/table was missing/, () => nft('delete', 'table', 'bridge', 'selvage')],
    'a rule removed': [/table was altered/, () => nft('flush', 'chain', 'bridge', 'selvage', 'guest_arp')],
    'an element removed': [
      /macs lacked "pt000000000011" . 02:00:00:00:00:0b/,
      () => nft('delete', 'element', 'bridge', 'selvage', 'macs', '{ "pt000000000011" . 02:00:00:00:00:0b }'),
    ],
    'an element added': [
      /unrestricted held "pt000000000011"/,
      () => nft('add', 'element', 'bridge', 'selvage', 'unrestricted', '{ "pt000000000011" }'),
    ],
    'the whole fabric taken away': [/was missing/, () => namespaces.remove(rig.fabric)],
  };
  const change = (request: ReturnType<typeof links.set>) => {
    using route = openRouteSocket({ netns: rig.fabric });
    route.send(request);
  };
  const shape = async () => {
    const { devices, entries, rules } = await fingerprint(rig);
    const names = new Map(devices.map(({ index, name }) => [String(index), name]));
    const named = (entry: string) => entry.replace(/^\d+/, (index) => names.get(index) ?? index);
    return {
      devices: devices
        .map(({ name, alias, master, up }) => ({ name, alias, up, master: names.get(String(master)) }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      entries: entries
        .map(named)
        .filter((entry) => !entry.includes('permanent'))
        .sort(),
      rules: rules.replace(/ # handle \d+/g, ''),
    };
  };
  const before = await shape();
  for (const [name, [words, damage]] of Object.entries(wrong)) {
    const told = rig.controller.events.length;
    const since = performance.now();
    // One after the other: each is to heal on its own.
    await damage();
    await rig.controller.until(`${name} to be healed`, () =>
      rig.controller.events
        .slice(told)
        .some(({ type, message }) => type === 'host.drift-healed' && words.test(message)),
    );
    t.log(`${name}: ${(performance.now() - since).toFixed(0)} ms`);
    t.true(performance.now() - since < 2000, name);
    await sleep(150);
    t.deepEqual(await shape(), before, name);
  }
  const guestLinks = rig.links(rig.namespaceOf(12)).find(({ name }) => name === 'eth0');
  t.like(guestLinks, { up: true, mac: '02:00:00:00:00:0c' });
  await Promise.all([rig.address(11, '10.1.1.11'), rig.address(12, '10.1.1.12')]);
  t.true(await rig.reaches(11, '10.1.1.12'));
});

test.serial('devices that are not ours are left alone, and one in the way is told', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = hostDocument(1, segment(1));
  await rig.agent();
  await rig.controller.ready(1);
  {
    using route = openRouteSocket({ netns: rig.fabric });
    route.send(links.add({ kind: 'bridge', name: 'mine' }));
    route.send(links.add({ kind: 'veth', name: 'br000000000002', peer: { name: 'other' } }));
  }
  rig.controller.publish(
    hostDocument(2, segment(1), segment(2), guest(11, 1, '10.1.1.11'), guest(12, 2, '10.1.1.12')),
  );
  await rig.controller.until('the failure', () =>
    rig.controller.statuses.some(
      ({ conditions, observedGeneration }) =>
        observedGeneration === 2 &&
        conditions.some(
          ({ type, status, message }) =>
            type === 'FabricApplied' && status === 'False' && /br000000000002.*not Selvage/.test(message),
        ),
    ),
  );
  const names = rig.links().map(({ name }) => name);
  t.true(names.includes('mine'));
  t.true(names.includes('br000000000002'));
  t.true(names.includes('pt000000000011'), 'the rest of the document is in force');
  {
    using route = openRouteSocket({ netns: rig.fabric });
    route.send(links.remove({ name: 'other' }));
  }
  await rig.controller.ready(2);
  t.true(rig.links().some(({ name, kind }) => name === 'br000000000002' && kind === 'bridge'));
  t.true(rig.links().some(({ name }) => name === 'mine'));
});

test.serial('where port security cannot be applied no guest gets a port', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = document(1);
  namespaces.create(rig.fabric);
  // A table with an owner (nft(8), flags owner) is closed to everybody else until its owner ends.
  const owner = namespaces.run(rig.fabric, () =>
    spawn('/usr/sbin/nft', ['-i'], { stdio: ['pipe', 'ignore', 'ignore'] }),
  );
  t.teardown(() => owner.kill('SIGKILL'));
  owner.stdin?.write('add table bridge selvage { flags owner; }\n');
  await rig.controller.until(
    'the table',
    () => owner.pid !== undefined && rig.processesIn(rig.fabric).length > 0,
  );
  await sleep(200);
  await rig.agent();
  await rig.controller.until('the failure', () =>
    rig.controller.statuses.some(({ conditions }) =>
      conditions.some(({ type, status }) => type === 'PortSecurityApplied' && status === 'False'),
    ),
  );
  const ports = () =>
    rig
      .links()
      .map(({ name }) => name)
      .filter((name) => name.startsWith('pt'));
  t.deepEqual(ports(), ['pt000000000013'], 'only the port that has no rules');
  owner.kill('SIGKILL');
  await rig.controller.ready(1);
  t.is(ports().length, 3);
});

test.serial('a document that does not verify is refused and changes nothing', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = document(1);
  await rig.agent();
  await rig.controller.ready(1);
  const before = await fingerprint(rig);
  const bad = { ...document(2), segments: [], surprise: 1 };
  rig.controller.publish(bad);
  await rig.controller.until('the refusal', () =>
    rig.controller.statuses.some(({ conditions }) =>
      conditions.some(
        ({ type, status, message }) =>
          type === 'DocumentAccepted' && status === 'False' && message.includes('surprise'),
      ),
    ),
  );
  t.is(rig.controller.statuses.at(-1)?.observedGeneration, 1);
  t.deepEqual(await fingerprint(rig), before);
  rig.controller.publish(document(3));
  await rig.controller.ready(3);
  t.deepEqual(await fingerprint(rig), before);
});

test.serial('cleaning up leaves nothing, twice', async (t) => {
  const rig = await Rig.make(t);
  rig.controller.document = document(1);
  const agent = await rig.agent();
  await rig.controller.ready(1);
  rig.start(rig.namespaceOf(11), 'sleep', '1000');
  await sleep(100);
  await agent.close();
  t.true(rig.leftovers().length > 4);
  const { failures } = await cleanUp({ prefix: rig.prefix, state: rig.state });
  t.deepEqual(failures, []);
  t.deepEqual(rig.leftovers(), []);
  t.deepEqual(await cleanUp({ prefix: rig.prefix, state: rig.state }), { namespaces: [], failures: [] });
  t.is(idOf('ins', 11), 'ins-000000000011');
});
