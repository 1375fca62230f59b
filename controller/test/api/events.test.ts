import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import test from 'ava';
import { harness } from '../harness.ts';

/** Reads server-sent events until `count` came, or the time is over. */
const follow = async (url: string, headers: Record<string, string>, count: number, begun?: () => void) => {
  const abort = new AbortController();
  const response = await fetch(url, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: AbortSignal.any([abort.signal, AbortSignal.timeout(10_000)]),
  });
  if (response.body === null) throw new Error('no body');
  begun?.();
  const found: { id: string; event: string; data: { type: string; resource: string } }[] = [];
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const frames = text.split('\n\n');
    text = frames.pop() ?? '';
    for (const frame of frames) {
      const fields = Object.fromEntries(frame.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
      if (fields['id'] !== undefined)
        found.push({ id: fields['id'], event: fields['event'], data: JSON.parse(fields['data']) });
    }
    if (found.length >= count) break;
  }
  abort.abort();
  return found;
};

test('events are followed as they come, resumed where one stopped, and only one’s own', async (t) => {
  const h = await harness(t);
  await h.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = h.app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/v1/events`;
  await h.admin('POST', '/v1/zones', { name: 'z' });
  const alice = await h.account('alice');
  const bob = await h.account('bob');
  const headers = { authorization: `Bearer ${alice.key}` };
  let begun = (): void => {};
  const ready = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const following = follow(url, headers, 2, begun);
  await ready;
  await bob.call('POST', '/v1/networks', { name: 'bobs' });
  const first = await alice.call('POST', '/v1/networks', { name: 'a' });
  await setTimeout(50);
  await alice.call('DELETE', `/v1/networks/${first.body['id']}`);
  const seen = await following;
  t.deepEqual(
    seen.map(({ event }) => event),
    ['network.created', 'network.removed'],
  );
  t.true(seen.every(({ data }) => data.resource === first.body['id']));
  await alice.call('POST', '/v1/networks', { name: 'b' });
  const resumed = await follow(url, { ...headers, 'last-event-id': String(seen[0]?.id) }, 2);
  t.deepEqual(
    resumed.map(({ event }) => event),
    ['network.removed', 'network.created'],
  );
  const all = await follow(
    `${url}?type=network.created`,
    { authorization: String((await authorization(h)) ?? ''), 'last-event-id': 'evt-000000000000' },
    3,
  );
  t.is(all.length, 3, 'an administrator sees everything, from the start when the id is forgotten');
});

const authorization = async (h: Awaited<ReturnType<typeof harness>>): Promise<string> => {
  const key = await h.admin('POST', '/v1/api-keys', { name: 'second' });
  return `Bearer ${String(key.body['key'])}`;
};

test('the list of events pages, filters and runs backwards', async (t) => {
  const h = await harness(t);
  await h.admin('POST', '/v1/zones', { name: 'z' });
  for (let index = 0; index < 7; index += 1) await h.admin('POST', '/v1/networks', { name: `n${index}` });
  const page = await h.admin('GET', '/v1/events?type=network.created&limit=5');
  t.is(page.body.items?.length, 5);
  const rest = await h.admin('GET', `/v1/events?type=network.created&limit=5&cursor=${page.body['next']}`);
  t.is(rest.body.items?.length, 2);
  t.is(rest.body['next'], null);
  const newest = await h.admin('GET', '/v1/events?order=desc&limit=1');
  t.regex(String(newest.body.items?.[0]?.['message']), /n6/);
});

test('metrics say what is wanted, what is there, and what is not well', async (t) => {
  const h = await harness(t);
  const answer = await h.app.inject({ method: 'GET', url: '/metrics' });
  t.is(answer.statusCode, 200);
  t.regex(String(answer.headers['content-type']), /^text\/plain/);
  for (const name of [
    'selvage_resources{kind="account",state=""} 1',
    '# TYPE selvage_router_wanted_generation gauge',
    '# TYPE selvage_operation_seconds histogram',
    '# TYPE selvage_http_request_seconds histogram',
    'selvage_controller_process_resident_memory_bytes',
  ])
    t.true(answer.payload.includes(name), name);
  const remote = await h.app.inject({ method: 'GET', url: '/metrics', remoteAddress: '192.0.2.1' });
  t.is(remote.statusCode, 401);
  const proxied = await h.app.inject({
    method: 'GET',
    url: '/metrics',
    headers: { 'x-forwarded-for': '192.0.2.1' },
  });
  t.is(proxied.statusCode, 401);
  t.is((await h.app.inject({ method: 'GET', url: '/healthz' })).payload, '{"status":"ok"}');
});
