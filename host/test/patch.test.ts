/** A router's daemon is exchanged for that of another bundle while it runs; what does not prove itself is taken back. */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { Machine, MachineStatus } from 'documents';
import { sealBundle } from 'signed-bundle';
import { bundleRouter } from '../../scripts/bundle.ts';
import { argumentsOf } from '../machines/namespace/processes.ts';
import { RouterClient } from '../routers/router-client.ts';
import { guest, hostDocument, idOf, router, segment } from './fixtures/documents.ts';
import { Rig } from './fixtures/rig.ts';
import { settlesTo } from './fixtures/router-chain.ts';
import { routerDocument, routerId } from './fixtures/router-document.ts';

const keys = generateKeyPairSync('ed25519');

interface Sealed {
  readonly name: { readonly version: string; readonly checksum: string };
  readonly file: Buffer;
}

/** Once this process is the router's daemon, it does this. */
const asDaemon = (does: string): string => `
const { readFileSync: readOwnRecord } = process.getBuiltinModule('node:fs');
setInterval(() => {
  const directory = process.argv[process.argv.indexOf('--state') + 1];
  try {
    if (JSON.parse(readOwnRecord(directory + '/daemon.json', 'utf8')).pid === process.pid) { ${does} }
  } catch {}
}, 5).unref();
`;

/** The real daemon as a bundle of its own, `before` its first line something else. */
const variant = async (version: string, before = '', key: KeyObject = keys.privateKey): Promise<Sealed> => {
  const built = readFileSync(await bundleRouter());
  const code = Buffer.concat([Buffer.from(before), built.subarray(built.indexOf('\n') + 1)]);
  const file = sealBundle(code, { version, privateKey: key });
  return { name: { version, checksum: createHash('sha256').update(file).digest('hex') }, file };
};

const scene = async (t: ExecutionContext, program = false) => {
  const rig = await Rig.make(t, await bundleRouter());
  rig.trustedKeys = keys.publicKey.export({ type: 'spki', format: 'pem' }) as string;
  const first = await variant('1.0.0');
  rig.controller.bundles.set(first.name.checksum, first.file);
  let generation = 0;
  const publish = (bundle: Machine['bundle']): void => {
    generation += 1;
    const document = hostDocument(generation, segment(1), router(1, 1), guest(11, 1, '10.1.1.11'));
    const machines = document.machines.map((machine) =>
      machine.kind === 'router' && bundle !== undefined ? { ...machine, bundle } : machine,
    );
    rig.controller.publish({ ...document, machines });
  };
  rig.controller.routers.set(routerId, routerDocument(1, [11]));
  const child = program ? rig.program() : (await rig.agent(), null);
  await rig.controller.until('the agent', () => rig.controller.hellos.length > 0, 60_000);
  publish(first.name);
  await rig.controller.machine(idOf('ins', 11), 'running');
  const directory = join(rig.state, 'host', 'routers', routerId);
  const json = <Value>(name: string): Value =>
    JSON.parse(readFileSync(join(directory, name), 'utf8')) as Value;
  const machine = (): MachineStatus | undefined =>
    rig.controller.statuses.at(-1)?.machines.find(({ id }) => id === routerId);
  const offer = (bundle: Sealed): void => {
    rig.controller.bundles.set(bundle.name.checksum, bundle.file);
    publish(bundle.name);
  };
  const until = (what: string, holds: (status: MachineStatus) => boolean): Promise<void> =>
    rig.controller.until(what, () => holds(machine() as MachineStatus), 40_000);
  return {
    rig,
    child,
    directory,
    first,
    json,
    offer,
    publish,
    machine,
    pid: () => json<{ pid: number }>('daemon.json').pid,
    runs: (bundle: Sealed) =>
      until(`${bundle.name.version} running`, (seen) => seen.bundle?.checksum === bundle.name.checksum),
    refuses: (bundle: Sealed) =>
      until(
        `${bundle.name.version} refused`,
        (seen) => seen.refusedBundle?.checksum === bundle.name.checksum,
      ),
    /** Daemons of the router that run, by their bundle. */
    daemons: () =>
      rig
        .processesIn(rig.namespaceOf(1, 'rtr'))
        .map(argumentsOf)
        .filter((args) => args.includes('--state'))
        .map((args) => args.find((arg) => arg.endsWith('.mjs'))?.slice(-68, -4)),
  };
};

/** Pings from the guest to the internet's end of its router, 100 a second; says how many were lost, of all or until now. */
const probing = (rig: Rig, count: number): ((until?: 'now') => Promise<string>) => {
  const ping = rig.start(
    rig.namespaceOf(11),
    'ping',
    '-n',
    '-q',
    '-i',
    '0.01',
    '-c',
    String(count),
    '10.1.1.1',
  );
  let said = '';
  ping.stdout?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const exit = once(ping, 'exit');
  return async (until) => {
    if (until === 'now') ping.kill('SIGINT');
    await exit;
    return /(\d+) packets transmitted, (\d+) received/.exec(said)?.slice(1).join('/') ?? said;
  };
};

test.serial('a bundle takes the place of another; its services and its packets do not notice', async (t) => {
  const s = await scene(t);
  await s.runs(s.first);
  t.regex(
    String(s.machine()?.image),
    /^namespace\/\d+ node\/24\.\S+ haproxy\/\d\S+ dnsmasq\/\d\S+ nft\/\d\S+$/,
  );
  t.is(s.rig.controller.statuses.at(-1)?.image, s.machine()?.image);
  const before = { pid: s.pid(), links: s.rig.links(s.rig.namespaceOf(1, 'rtr')) };
  const second = await variant('2.0.0');
  const lost = probing(s.rig, 150);
  const since = performance.now();
  s.offer(second);
  await s.runs(second);
  t.log(`${(performance.now() - since).toFixed(0)} ms`);
  t.is(await lost(), '150/150');
  t.not(s.pid(), before.pid);
  t.deepEqual(s.daemons(), [second.name.checksum]);
  t.deepEqual(s.rig.links(s.rig.namespaceOf(1, 'rtr')), before.links);
  t.like(s.json('bundle.json'), { running: second.name, trying: null, refused: null });
  await s.rig.controller.until('its own word', () =>
    s.rig.controller.routerStatuses.some(({ bundle }) => bundle?.checksum === second.name.checksum),
  );
  t.true(s.rig.controller.events.some(({ type }) => type === 'host.router-patched'));
  t.is(s.rig.controller.requests.filter((call) => call.includes(second.name.checksum)).length, 1);
  // A daemon that dies is started anew from the bundle it had.
  const last = s.pid();
  process.kill(last, 'SIGKILL');
  await s.rig.controller.until('another daemon', () => {
    try {
      return s.pid() !== last;
    } catch {
      return false;
    }
  });
  await s.rig.controller.until('one daemon', () => s.daemons().join() === second.name.checksum);
  // What nobody goes back to is removed: the first was what the machine was made with, a third comes and goes.
  const third = await variant('3.0.0');
  s.offer(third);
  await s.runs(third);
  const kept = () => readdirSync(join(s.rig.state, 'host', 'bundles')).map((name) => name.slice(0, 64));
  t.false(kept().includes(second.name.checksum));
  t.true(kept().includes(first(s)));
});

const first = (s: { readonly first: Sealed }): string => s.first.name.checksum;

test.serial(
  'what does not prove itself, does not stay or is not trusted is taken back by itself',
  async (t) => {
    const s = await scene(t);
    await s.runs(s.first);
    const faults: readonly (readonly [string, Sealed, RegExp])[] = [
      ['throws', await variant('2.0.1', `throw new Error('broken on purpose');\n`), /broken on purpose/],
      ['dies twice', await variant('2.0.2', asDaemon('process.exit(9)')), /ended twice/],
      [
        'is foreign',
        await variant('2.0.3', '', generateKeyPairSync('ed25519').privateKey),
        /not trusted here/,
      ],
    ];
    for (const [what, bundle, message] of faults) {
      const lost = probing(s.rig, 150);
      s.offer(bundle);
      await s.refuses(bundle);
      t.regex(String(s.machine()?.refusedBundle?.message), message, what);
      t.is(s.machine()?.bundle?.checksum, first(s), what);
      t.is(await lost(), '150/150', what);
      await s.rig.controller.until(`${what}: the one before`, () => s.daemons().join() === first(s));
      t.false(s.rig.controller.events.some(({ type }) => type === 'host.router-patched'));
      // It is not tried again until something else was wanted.
      const record = s.json('bundle.json');
      s.publish(bundle.name);
      await sleep(200);
      t.deepEqual(s.json('bundle.json'), record, what);
      s.publish(s.first.name);
      await s.rig.controller.until('forgotten', () => s.machine()?.refusedBundle === undefined);
    }
    // A file that is not the one that was named.
    const real = await variant('2.0.4');
    const other = { ...real, name: { ...real.name, checksum: 'f'.repeat(64) } };
    s.offer(other);
    await s.refuses(other);
    t.is(s.daemons().join(), first(s));
  },
);

const alive = (pid: number): boolean => existsSync(`/proc/${pid}`);

test.serial(
  'what passes is no refusal, a disk that takes nothing ends no supervision, and nothing is started that was altered',
  async (t) => {
    const s = await scene(t, true);
    await s.runs(s.first);
    const bundles = join(s.rig.state, 'host', 'bundles');
    const own = createHash('sha256').update(readFileSync(s.rig.bundle)).digest('hex');
    t.true(
      readdirSync(bundles).includes(`${own}.mjs`),
      'what the host came with is among them, signed or not',
    );
    const another = (was: number) =>
      s.rig.controller.until('another daemon', () => {
        try {
          return s.pid() !== was && alive(s.pid());
        } catch {
          return false;
        }
      });
    // Nothing can be started for want of a file: in the place of one that passes by itself.
    const log = join(s.directory, 'daemon.log');
    rmSync(log);
    mkdirSync(log);
    const second = await variant('4.0.0');
    s.offer(second);
    await s.rig.controller.until('tried again', () => /tried again/.test(s.machine()?.message ?? ''));
    t.is(s.machine()?.refusedBundle, undefined);
    rmSync(log, { recursive: true });
    await s.runs(second);
    rmSync(log);
    mkdirSync(log);
    const third = await variant('4.0.1');
    s.offer(third);
    await s.refuses(third);
    t.regex(String(s.machine()?.refusedBundle?.message), /tried 3 times/);
    rmSync(log, { recursive: true });
    t.deepEqual(s.daemons(), [second.name.checksum]);
    // The record cannot be written: nothing is begun, and the daemon is looked after all the same.
    const record = join(s.directory, 'bundle.json.new');
    mkdirSync(record);
    const fourth = await variant('4.0.2');
    s.offer(fourth);
    await s.rig.controller.until('told', () => /EISDIR/.test(s.machine()?.message ?? ''));
    const before = s.pid();
    process.kill(before, 'SIGKILL');
    await another(before);
    t.deepEqual(s.daemons(), [second.name.checksum]);
    rmSync(record, { recursive: true });
    await s.runs(fourth);
    // Altered while no agent ran: the daemon goes on, and is not started from that file again.
    s.child?.kill('SIGKILL');
    if (s.child !== null) await once(s.child, 'exit');
    const file = join(bundles, `${fourth.name.checksum}.mjs`);
    appendFileSync(file, "\nthrow new Error('altered');\n");
    const hellos = s.rig.controller.hellos.length;
    const last = s.pid();
    s.rig.program();
    await s.rig.controller.until('the next agent', () => s.rig.controller.hellos.length > hellos, 60_000);
    await s.runs(fourth);
    t.is(s.pid(), last);
    process.kill(last, 'SIGKILL');
    await another(last);
    t.deepEqual(readFileSync(file), fourth.file);
    t.deepEqual(s.daemons(), [fourth.name.checksum]);
  },
);

/** Resolves when the files of the router are as said; then whoever asks does what is to be done in that moment. */
const when = async (holds: () => boolean): Promise<boolean> => {
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    try {
      if (holds()) return true;
    } catch {
      // A file that is not there yet.
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return false;
};

/** Whether it holds within five seconds. */
const eventually = async (holds: () => Promise<boolean>): Promise<boolean> => {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (await holds()) return true;
    await sleep(50);
  }
  return false;
};

type Victim = 'agent' | 'old' | 'new';

/** A daemon that is wanted is there, and the files say how far it is: in this order. */
const moments = ['begun', 'started', 'proved', 'alone', 'taken over'] as const;
type Moment = (typeof moments)[number];

/** Who is there to be killed at each moment: the new daemon once it is started, the old one until that has ended it. */
const victimsAt: Readonly<Record<Moment, readonly (readonly Victim[])[]>> = {
  begun: [['agent'], ['old']],
  started: [['agent'], ['old'], ['new'], ['agent', 'old', 'new']],
  proved: [['agent'], ['old'], ['new'], ['agent', 'old', 'new']],
  alone: [['agent'], ['new']],
  'taken over': [['agent'], ['new'], ['agent', 'new']],
};

test.serial('kill -9 of the agent, of either daemon, or of all, at every moment of a patch', async (t) => {
  const s = await scene(t, true);
  await s.runs(s.first);
  let child = s.child;
  const namespace = s.rig.namespaceOf(1, 'rtr');
  const daemons = () =>
    s.rig
      .processesIn(namespace)
      .map((pid) => ({ pid, args: argumentsOf(pid) }))
      .filter(({ args }) => args.includes('--state'));
  const daemonOf = ({ name }: Sealed): number | undefined =>
    daemons().find(({ args }) => args.some((arg) => arg.includes(name.checksum)))?.pid;
  const record = (name: string) => s.json<{ checksum?: string }>(name).checksum;
  /** What runs in the router: what belongs to its daemon by what it is, its services by their pids. */
  const programs = (): readonly string[] =>
    s.rig
      .processesIn(namespace)
      .map((pid) => ({ pid, args: argumentsOf(pid) }))
      .map(({ pid, args }) => {
        if (args.includes('--nft-helper')) return 'helper';
        return args.includes('--state') ? 'daemon' : `${args[0]} ${pid}`;
      })
      .toSorted();
  const ready = async (): Promise<boolean> => {
    const client = new RouterClient(join(s.directory, 'control.sock'));
    try {
      const { bundle, conditions } = await client.status(1000);
      const running = s.machine()?.bundle?.checksum;
      return (
        bundle?.checksum === running && conditions.find(({ type }) => type === 'Ready')?.status === 'True'
      );
    } catch {
      return false;
    } finally {
      client.close();
    }
  };
  const settles = async (what: string, bundle: Sealed): Promise<void> => {
    const settled = (): boolean => {
      const seen = s.machine();
      const decided = [seen?.refusedBundle?.checksum, seen?.bundle?.checksum].includes(bundle.name.checksum);
      return decided && s.daemons().join() === seen?.bundle?.checksum && alive(s.pid());
    };
    await s.rig.controller.until(what, () => {
      try {
        return settled();
      } catch {
        // Between two daemons there is no record.
        return false;
      }
    });
  };
  t.true(await eventually(ready));
  const healthy = programs();
  t.is(healthy.filter((program) => ['daemon', 'helper'].includes(program)).length, 2);
  t.true(healthy.length > 2, 'a service runs');
  let running = s.first;
  let number = 0;
  const told: string[] = [];
  /**
   * Gives it another bundle, kills in that moment, and waits until nothing is open any more; returns how it ended. `missed`:
   * somebody was gone by the time this process got to it, so nobody was killed.
   */
  const round = async (
    what: string,
    moment: Moment,
    victims: readonly Victim[],
    times = 1,
  ): Promise<'switched' | 'refused' | 'missed'> => {
    number += 1;
    const since = performance.now();
    const old = running;
    const bundle = await variant(`3.0.${number}`);
    const was = s.pid();
    const holds: Readonly<Record<Moment, () => boolean>> = {
      begun: () =>
        s.json<{ trying: { checksum: string } | null }>('bundle.json').trying?.checksum ===
        bundle.name.checksum,
      started: () => daemonOf(bundle) !== undefined,
      proved: () => record('proof.json') === bundle.name.checksum,
      alone: () => record('proof.json') === bundle.name.checksum && !alive(was),
      'taken over': () =>
        record('proof.json') === bundle.name.checksum && record('daemon.json') === bundle.name.checksum,
    };
    s.offer(bundle);
    let missed = false;
    for (let time = 0; time < times && !missed; time += 1) {
      // Before the moment, as a walk over all processes takes longer than some of them.
      t.true(moment === 'begun' || (await when(holds.started)), what);
      const pids = { agent: child?.pid ?? 0, old: was, new: daemonOf(bundle) ?? 0 };
      t.true(await when(holds[moment]), what);
      const killed = victims.map((victim) => pids[victim]);
      missed = !killed.every(alive);
      if (missed) break;
      for (const pid of killed) process.kill(pid, 'SIGKILL');
      for (const victim of victims)
        if (victim !== 'agent') t.true(await when(() => !alive(pids[victim])), `${what}: ${victim} ends`);
    }
    if (victims.includes('agent') && !missed) {
      if (child !== null && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      child = s.rig.program();
    }
    await settles(what, bundle);
    const outcome = s.machine()?.bundle?.checksum === bundle.name.checksum ? 'switched' : 'refused';
    running = outcome === 'switched' ? bundle : old;
    // One daemon, with everything that belongs to it, that says itself that it is ready; and nothing besides.
    t.deepEqual(s.daemons(), [running.name.checksum], what);
    t.true(await eventually(ready), `${what}: ready`);
    t.deepEqual(await settlesTo(healthy, programs), healthy, what);
    t.is(daemonOf(running), s.pid(), what);
    t.like(s.json('bundle.json'), { running: running.name, trying: null }, what);
    told.push(`${what}: ${missed ? 'missed' : outcome} after ${(performance.now() - since).toFixed(0)} ms`);
    return missed ? 'missed' : outcome;
  };
  const lost = probing(s.rig, 20_000);
  for (const moment of moments) {
    for (const victims of victimsAt[moment]) {
      const what = `${moment}, ${victims.join(' and ')} killed`;
      let outcome = await round(what, moment, victims);
      for (let again = 0; outcome === 'missed' && again < 5; again += 1)
        outcome = await round(what, moment, victims);
      t.is(outcome, 'switched', what);
    }
  }
  // What is killed again and again before it has proved itself is no good, and the one before goes on.
  const before = { running, pid: s.pid() };
  t.is(await round('started, new killed twice', 'started', ['new'], 2), 'refused');
  t.deepEqual({ running, pid: s.pid() }, before);
  for (const line of told) t.log(line);
  // Of what is under way when the probes are ended nobody knows.
  const [sent = 0, received = 0] = (await lost('now')).split('/').map(Number);
  t.true(sent > 500 && received >= sent - 1, `${received} of ${sent}`);
});
