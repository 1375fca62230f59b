import test from 'ava';
import type { ControllerFrame, HostDocument, RouterDocument } from 'documents';
import { ControllerClient, ControllerError } from '../../../host/channel/controller.ts';
import { Doorbell } from '../../../host/channel/doorbell.ts';
import { answerRequest } from '../../../host/channel/requests.ts';
import { keepContent } from '../../store/router-bundles.ts';
import { addFirewallRule, hostStatus, ids, openRig, routerStatus } from './rig.ts';
import { until } from '../until.ts';

/** The host agent's own client against our routes: both sides of docs/contracts.md. */
test("the host agent's client gets and gives everything", async (t) => {
  const { store, url } = await openRig(t);
  const client = new ControllerClient(url, 'token-of-host-a');
  t.teardown(() => client.close());
  const fetched = await client.hostDocument(null);
  t.is((JSON.parse(fetched?.body ?? '') as HostDocument).id, ids.hosts.a);
  t.is(await client.hostDocument(fetched?.etag ?? null), null);
  t.deepEqual([...(await client.routers())], [[ids.router, 1]]);
  const document = JSON.parse((await client.routerDocument(ids.router, 0)) ?? '') as RouterDocument;
  t.is(document.generation, 1);
  t.is(await client.routerDocument(ids.router, 1), null);
  await addFirewallRule(store, 'fw-000000000001', 80);
  t.true((await client.routerDocument(ids.router, 1))?.includes('baseGeneration'));
  const content = Buffer.from('what a bundle is to its store: bytes');
  const checksum = 'c'.repeat(64);
  await store.db
    .insertInto('router_bundle')
    .values({
      id: 'bdl-000000000001',
      created_at: 1,
      bundle_version: '1.0.0',
      checksum,
      key_id: '0'.repeat(16),
      size: content.length,
    })
    .execute();
  await store.transaction((trx) => keepContent(trx, 'bdl-000000000001', content));
  t.deepEqual(await client.bundle(checksum), content);
  await t.throwsAsync(client.bundle('d'.repeat(64)), { instanceOf: ControllerError });
  await client.putStatus(hostStatus());
  await client.putRouterStatus(routerStatus());
  await client.postEvents([
    {
      id: 'evt-x',
      time: 1,
      type: 'host.drift-healed',
      level: 'warning',
      subject: ids.hosts.a,
      message: 'put right',
      generation: 1,
    },
  ]);
  t.is(
    (await store.db.selectFrom('event').select('account_id').where('id', '=', 'evt-x').executeTakeFirst())
      ?.account_id,
    null,
  );

  const stranger = new ControllerClient(url, 'token-of-host-b');
  t.teardown(() => stranger.close());
  const error = await t.throwsAsync(stranger.routerDocument(ids.router, 0), { instanceOf: ControllerError });
  t.is(error?.status, 404);
});

test("the host agent's doorbell is rung and asked", async (t) => {
  const rig = await openRig(t);
  const frames: ControllerFrame[] = [];
  const doorbell: Doorbell = new Doorbell({
    url: rig.url,
    token: 'token-of-host-a',
    host: ids.hosts.a,
    version: '0.1.0',
    onOpen: () => {},
    onClose: () => {},
    onFrame: (frame) => {
      frames.push(frame);
      if (frame.type !== 'request') return;
      const answer = {
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: Buffer.from('{"text":""}'),
      };
      const targets = {
        routers: {
          request: () => Promise.resolve(answer),
          copyState: (from: string, to: string) =>
            Promise.resolve({ inserted: 1, present: 0, refused: [`${from}>${to}`] }),
        },
        restartDaemon: () => undefined,
        probeReading: () => Promise.resolve(null),
        status: () => Promise.resolve(null),
      };
      void answerRequest(frame, targets).then((response) => doorbell.send(response));
    },
  });
  t.teardown(() => doorbell.close());
  doorbell.open();
  await until(
    () => frames.some(({ type }) => type === 'router-document'),
    (rung) => rung,
  );
  t.deepEqual(await rig.delivery.requestRouter(ids.router, { method: 'POST', path: '/v1/diff' }), {
    status: 200,
    contentType: 'application/json',
    body: { text: '' },
  });
  t.deepEqual(await rig.delivery.copyState(ids.hosts.a, ids.router, 'rtr-000000000002'), {
    inserted: 1,
    present: 0,
    refused: [`${ids.router}>rtr-000000000002`],
  });
});
