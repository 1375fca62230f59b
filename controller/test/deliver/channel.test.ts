import { once } from 'node:events';
import test from 'ava';
import { WebSocket } from 'ws';
import { AgentError } from '../../deliver/agent-error.ts';
import { addFirewallRule, hostStatus, ids, openRig, routerStatus } from './rig.ts';
import { until } from '../until.ts';

test('hello is answered with what the host is behind with', async (t) => {
  const { agent } = await openRig(t);
  const channel = await agent('a').connect();
  t.deepEqual(await channel.frame(({ type }) => type === 'host-document'), {
    type: 'host-document',
    generation: 1,
  });
  t.deepEqual(await channel.frame(({ type }) => type === 'router-document'), {
    type: 'router-document',
    router: ids.router,
    generation: 1,
  });
});

test('a change of intent rings at once, and only at its own host', async (t) => {
  const { agent, store } = await openRig(t);
  const a = await agent('a').connect();
  const b = await agent('b').connect();
  await a.frame(({ type }) => type === 'router-document');
  const started = performance.now();
  const generation = await addFirewallRule(store, 'fw-000000000001', 80);
  await a.frame((frame) => frame.type === 'router-document' && frame.generation === generation);
  t.log(`doorbell after ${(performance.now() - started).toFixed(1)} ms`);
  t.false(b.frames.some((frame) => frame.type === 'router-document'));
});

test('the doorbell rings again until the generation is in force', async (t) => {
  const { agent, delivery } = await openRig(t);
  const a = await agent('a').connect();
  const rings = () => a.frames.filter(({ type }) => type === 'router-document').length;
  await until(rings, (count) => count >= 2);
  t.is(delivery.waiting(), 2);
  await agent('a').call('PUT', `/v1/agent/routers/${ids.router}/status`, routerStatus());
  await agent('a').call('PUT', '/v1/agent/status', hostStatus());
  t.is(delivery.waiting(), 0);
});

test('a lost doorbell costs a poll and nothing else', async (t) => {
  const { agent, store } = await openRig(t);
  // No channel at all: every ring is lost.
  const generation = await addFirewallRule(store, 'fw-000000000001', 80);
  const { body } = await agent('a').call('GET', '/v1/agent/routers');
  t.deepEqual(body, { items: [{ id: ids.router, generation }] });
});

test('a request reaches the router and its answer comes back', async (t) => {
  const { agent, delivery } = await openRig(t);
  const a = await agent('a').connect();
  await until(() => delivery.isConnected(ids.hosts.a), Boolean);
  a.socket.on('message', (message) => {
    const frame = JSON.parse(String(message)) as { type: string; id: string; params: { path: string } };
    if (frame.type !== 'request') return;
    const bundle = frame.params.path === '/v1/support-bundle';
    a.socket.send(
      JSON.stringify({
        type: 'response',
        id: frame.id,
        result: bundle
          ? { status: 200, body: { contentType: 'application/gzip', base64: 'AAEC' } }
          : { status: 200, body: frame.params },
      }),
    );
  });
  const answer = await delivery.requestRouter(ids.router, {
    method: 'POST',
    path: '/v1/diff',
    body: { x: 1 },
  });
  t.deepEqual(answer, {
    status: 200,
    contentType: 'application/json',
    body: { router: ids.router, method: 'POST', path: '/v1/diff', timeout: 30_000, body: { x: 1 } },
  });
  const bundle = await delivery.requestRouter(ids.router, { method: 'GET', path: '/v1/support-bundle' });
  t.is(bundle.contentType, 'application/gzip');
  t.deepEqual(bundle.body, Buffer.from([0, 1, 2]));
});

test('a request that cannot be answered says why', async (t) => {
  const { agent, delivery } = await openRig(t);
  const ask = (router: string, timeout = 100) =>
    delivery.requestRouter(router, { method: 'GET', path: '/v1/status', timeout });
  const code = async (promise: Promise<unknown>) =>
    (await t.throwsAsync(promise, { instanceOf: AgentError })).code;
  t.is(await code(ask('rtr-doesnotexist')), 'ROUTER_UNKNOWN');
  t.is(await code(ask(ids.router)), 'HOST_NOT_CONNECTED');
  const a = await agent('a').connect();
  await until(() => delivery.isConnected(ids.hosts.a), Boolean);
  t.is(await code(ask(ids.router)), 'AGENT_TIMEOUT');
  a.socket.on('message', (message) => {
    const { type, id } = JSON.parse(String(message)) as { type: string; id: string };
    if (type !== 'request') return;
    const problem = { pointer: '', code: 'no-daemon', message: 'The daemon does not run', hint: '' };
    a.socket.send(JSON.stringify({ type: 'response', id, problem }));
  });
  t.is(await code(ask(ids.router, 5000)), 'AGENT_REFUSED');
  const lost = ask(ids.router, 4999);
  a.socket.terminate();
  t.is(await code(lost), 'AGENT_TIMEOUT');
});

test('a channel needs a token, a hello, and the hello of its own host', async (t) => {
  const { agent, delivery, url } = await openRig(t);
  const refused = new WebSocket(`${url.replace('http', 'ws')}/v1/agent/channel`, {
    headers: { authorization: 'Bearer nonsense' },
  });
  const [, response] = (await once(refused, 'unexpected-response')) as [unknown, { statusCode: number }];
  t.is(response.statusCode, 401);
  refused.on('error', () => {});
  refused.terminate();

  const wrong = await agent('b').connect(ids.hosts.a);
  const [code] = (await once(wrong.socket, 'close')) as [number];
  t.is(code, 1008);
  t.false(delivery.isConnected(ids.hosts.a));

  const babble = await agent('b').connect();
  babble.socket.send('not json');
  const [second] = (await once(babble.socket, 'close')) as [number];
  t.is(second, 1008);
});

test('an agent that connects again replaces its old channel', async (t) => {
  const { agent, delivery } = await openRig(t);
  const first = await agent('a').connect();
  await first.frame(({ type }) => type === 'host-document');
  const gone = once(first.socket, 'close');
  const second = await agent('a').connect();
  await gone;
  await second.frame(({ type }) => type === 'host-document');
  t.true(delivery.isConnected(ids.hosts.a));
  await second.close();
  await until(
    () => delivery.isConnected(ids.hosts.a),
    (connected) => !connected,
  );
  t.is(delivery.waiting(), 0);
});

test('a channel that misses two pings is dropped, one that answers stays', async (t) => {
  const { agent, delivery } = await openRig(t, Date.now, 100);
  const dead = await agent('a').connect(ids.hosts.a, false);
  // On a busy machine it is dropped before the other one is there.
  const dropped = once(dead.socket, 'close');
  const alive = await agent('b').connect();
  await alive.frame(({ type }) => type === 'host-document');
  await dropped;
  t.false(delivery.isConnected(ids.hosts.a));
  t.true(delivery.isConnected(ids.hosts.b));
});
