/** A router whose daemon is hung or dead: what it translates is read beside it, given to another one, and goes on there. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { RouterDocument } from 'documents';
import { openConntrackSocket } from 'node-netlink';
import { bundleRouter } from '../../scripts/bundle.ts';
import { copyState } from '../routers/copy-state.ts';
import { RouterClient } from '../routers/router-client.ts';
import { guest, idOf, macOf } from './fixtures/documents.ts';
import { Rig } from './fixtures/rig.ts';
import { applied, documentOf, network, said, settlesTo, visitor, wanted } from './fixtures/router-chain.ts';

const flows = 20;
const segments = [1, 2];
const all = { lately: flows, broken: 0 };

const withNat = (number: number): RouterDocument => {
  const document = documentOf(number);
  const [leg] = document.legs;
  if (leg === undefined) throw new TypeError('a leg is needed');
  const outside = {
    id: 'leg-2',
    role: 'public',
    device: 'public0',
    mac: macOf(network * 16 + 1),
    addresses: ['203.0.113.1/24'],
  } as const;
  return {
    ...document,
    legs: [leg, { ...leg, ...outside, addresses: [...outside.addresses] }],
    egressPolicies: [{ id: 'egp-1', leg: 'leg-1', default: 'allow' }],
    sourceNats: [
      {
        id: 'snat-1',
        leg: 'leg-1',
        outLeg: 'leg-2',
        publicAddress: '203.0.113.1',
        // As far from what the guest itself uses as can be: a router that does not know a connection maps it anew.
        ports: { first: 10_000, last: 20_000 },
      },
    ],
  };
};

test.serial('translated connections go on in another router when the daemon is hung, or dead', async (t) => {
  const rig = await Rig.make(t, await bundleRouter());
  const routers = [1, 2, 3];
  for (const number of routers) rig.controller.routers.set(idOf('rtr', number), withNat(number));
  const stage = (generation: number, active: number) =>
    wanted(
      generation,
      { segments, routers, active },
      visitor,
      guest(12, 2, '203.0.113.9', { secure: false }),
    );
  rig.controller.document = stage(1, 1);
  // Nobody is to be started anew for his silence.
  await rig.agent({ patience: { wait: 30, late: 30, last: 30 } });
  await rig.controller.ready(1);
  await Promise.all(routers.map((number) => applied(rig, number)));
  await rig.address(11, '10.1.1.11');
  await rig.address(12, '203.0.113.9');
  await rig.exec(rig.namespaceOf(11), 'ip', 'route', 'add', 'default', 'via', '10.1.1.1');
  const program = join(import.meta.dirname, 'fixtures', 'flows.ts');
  const served = said(rig.start(rig.namespaceOf(12), process.execPath, program, 'serve', '7'));
  t.true(await settlesTo(true, () => served().includes('listens')));
  const held = said(
    rig.start(rig.namespaceOf(11), process.execPath, program, 'hold', '203.0.113.9', '7', String(flows)),
  );
  const now = (): unknown => JSON.parse(held().split('\n').at(-2) ?? 'null');
  t.deepEqual(await settlesTo(all, now), all);

  const translations = (number: number): readonly string[] => {
    using socket = openConntrackSocket({ netns: rig.namespaceOf(number, 'rtr') });
    return socket
      .dump()
      .filter(({ original }) => original.destination === '203.0.113.9')
      .map(({ original, reply }) => `${original.sourcePort} as ${reply.destinationPort}`)
      .toSorted();
  };
  const folder = (number: number) => join(rig.state, 'host', 'routers', idOf('rtr', number));
  const daemonOf = (number: number) =>
    (JSON.parse(readFileSync(join(folder(number), 'daemon.json'), 'utf8')) as { readonly pid: number }).pid;
  const copy = (from: number, to: number) =>
    rig.controller.ask({
      type: 'request',
      method: 'copy-state',
      params: { from: idOf('rtr', from), to: idOf('rtr', to) },
    });
  const known = translations(1);
  t.is(known.length, flows);
  t.deepEqual(translations(2), []);

  const hung = daemonOf(1);
  process.kill(hung, 'SIGSTOP');
  const since = performance.now();
  const fromHung = await copy(1, 2);
  t.log(`${(performance.now() - since).toFixed(0)} ms: ${JSON.stringify(fromHung)}`);
  t.like(fromHung, { result: { inserted: flows, withoutDaemon: true, refused: [] } });
  t.deepEqual(translations(2), known);
  t.deepEqual(translations(1), known, 'nothing is changed where it is read');
  t.is(daemonOf(1), hung, 'what reads beside it is not taken for the daemon');

  process.kill(hung, 'SIGKILL');
  rmSync(join(folder(1), 'control.sock'));
  const clientOf = (number: number) => {
    const client = new RouterClient(join(folder(number), 'control.sock'));
    t.teardown(() => client.close());
    return client;
  };
  const alone = copyState(
    { id: idOf('rtr', 1), client: clientOf(1) },
    { id: idOf('rtr', 3), client: clientOf(3) },
  );
  const [refused, fromDead] = await Promise.all([
    t.throwsAsync(alone, { code: 'no-answer' }, 'without a program beside it there is no copy'),
    copy(1, 3),
  ]);
  t.regex(refused.message, /ENOENT|ECONNREFUSED|hang up/);
  t.like(fromDead, { result: { inserted: flows, withoutDaemon: true, refused: [] } });
  t.deepEqual(translations(3), known);

  rig.controller.publish(stage(2, 3));
  await rig.controller.ready(2);
  await sleep(1000);
  t.deepEqual(await settlesTo(all, now), all);
});
