import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { ControllerFrame, RouterDocument } from 'documents';
import { WebSocket } from 'ws';
import { type Harness, harness, seedNetwork, seedZone } from '../harness.ts';

interface Asked {
  readonly router: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

/** An agent on its channel that answers what it is asked for routers. */
const connect = async (
  t: ExecutionContext,
  h: Harness,
  agent: { readonly host: string; readonly token: string },
  answer: (asked: Asked) => object,
): Promise<WebSocket> => {
  await h.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = h.app.server.address() as AddressInfo;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/agent/channel`, {
    headers: { authorization: `Bearer ${agent.token}` },
  });
  t.teardown(() => socket.terminate());
  socket.on('message', (text) => {
    const frame = JSON.parse(String(text)) as ControllerFrame;
    if (frame.type !== 'request') return;
    socket.send(
      JSON.stringify({ type: 'response', id: frame.id, ...answer(frame.params as unknown as Asked) }),
    );
  });
  await once(socket, 'open');
  socket.send(JSON.stringify({ type: 'hello', host: agent.host, version: '0.1.0' }));
  return socket;
};

test('a router is asked through its host, and its answers and refusals come back', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { call } = await h.account('alice');
  const { network } = await seedNetwork(h, agent, call);
  const router = String((await call('GET', `/v1/networks/${network}`)).body['router']);
  await call('POST', '/v1/instances', { name: 'secret', network, generatePassword: true });

  const away = await call('POST', `/v1/routers/${router}/diff`);
  t.is(away.status, 503);
  t.is(away.body['code'], 'host-not-connected');

  const asked: Asked[] = [];
  const json = (body: unknown, status = 200) => ({
    result: { status, body },
  });
  await connect(t, h, agent, (request) => {
    asked.push(request);
    switch (request.path) {
      case '/v1/diff':
        return json({ text: '+ rule' });
      case '/v1/diagnostics':
        return json({ exitCode: 0, stdout: 'pong', stderr: '' });
      case '/v1/support-bundle':
        return {
          result: {
            status: 200,
            body: {
              contentType: 'application/gzip',
              base64: Buffer.from([0x1f, 0x8b, 0]).toString('base64'),
            },
          },
        };
      default:
        return { problem: { pointer: '', code: 'x', message: 'no such thing', hint: '' } };
    }
  });
  for (let round = 0; round < 200; round += 1) {
    if ((await call('POST', `/v1/routers/${router}/diff`)).status === 200) break;
    await setTimeout(20);
  }
  const diff = await call('POST', `/v1/routers/${router}/diff`, {});
  t.deepEqual(diff.body, { text: '+ rule' } as never);
  const sent = asked.at(-1)?.body as RouterDocument;
  t.is(sent.id, router);
  t.is(
    sent.metadataGuests.filter(({ password }) => password !== undefined).length,
    1,
    'the router compares all',
  );

  const document = await call('GET', `/v1/routers/${router}/document`);
  t.is(document.headers['etag'], `"${sent.generation}"`);
  t.false(document.text.includes('password'));
  t.is((await call('GET', `/v1/routers/${router}/status`)).body['id'], router);

  const ping = { type: 'ping', address: '203.0.113.1', count: 2 };
  t.is((await call('POST', `/v1/routers/${router}/diagnostics`, ping)).status, 403);
  const pinged = await h.admin('POST', `/v1/routers/${router}/diagnostics`, ping);
  t.is(pinged.body['stdout'], 'pong');
  t.deepEqual(asked.at(-1)?.body, ping);
  const odd = await h.admin('POST', `/v1/routers/${router}/diagnostics`, {
    type: 'ping',
    address: '203.0.113.1; reboot',
    count: 9999,
  });
  t.is(odd.status, 422);
  t.deepEqual(odd.body.problems?.map(({ pointer }) => pointer).sort(), ['/address', '/count']);

  const bundle = await h.admin('GET', `/v1/routers/${router}/support-bundle`);
  t.is(bundle.status, 200);
  t.is(bundle.headers['content-type'], 'application/gzip');
  t.is((await call('GET', `/v1/routers/${router}/support-bundle`)).status, 403);

  const metrics = (await h.app.inject({ method: 'GET', url: '/metrics' })).payload;
  t.regex(metrics, new RegExp(`selvage_router_wanted_generation\\{router="${router}"[^}]*\\} \\d+`));
  t.regex(metrics, /selvage_operation_seconds_count\{[^}]*state="succeeded"[^}]*\} [1-9]/);
});

test('a router that is not well is in the metrics, by why', async (t) => {
  const h = await harness(t);
  const { agent } = await seedZone(h);
  const { network, publicIp } = await seedNetwork(h, agent, h.admin);
  const router = String((await h.admin('GET', `/v1/networks/${network}`)).body['router']);
  agent.broken.set(router, 'nft says no');
  await h.admin('POST', '/v1/firewall-rules', { publicIp, protocol: 'tcp', ports: 80 });
  await agent.sync();
  const { payload } = await h.app.inject({ method: 'GET', url: '/metrics' });
  t.regex(
    payload,
    new RegExp(
      `selvage_conditions_not_well\\{kind="router",id="${router}",type="Applied",reason="ApplyFailed"\\} 1`,
    ),
  );
  t.regex(payload, /selvage_resources\{kind="router",state="degraded"\} 1/);
  t.regex(payload, /selvage_resources\{kind="host",state="up"\} 1/);
  h.advance(200_000);
  const later = (await h.app.inject({ method: 'GET', url: '/metrics' })).payload;
  t.regex(later, /selvage_conditions_not_well\{kind="host",[^}]*reason="down"\} 1/);
  t.is((await h.admin('GET', `/v1/routers/${router}`)).body['state'], 'unreachable');
  t.is((await h.admin('GET', `/v1/hosts/${agent.host}`)).body['state'], 'down');
});
