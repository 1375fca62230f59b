import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { openStore } from '../store/store.ts';
import { violations } from './invariants.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const ROUNDS = 6;

interface Running {
  readonly process: ChildProcess;
  readonly url: string;
}

const start = async (state: string): Promise<Running> => {
  const child = spawn(process.execPath, [MAIN, '--state', state, '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, url } = JSON.parse(line) as { msg: string; url?: string };
    if (msg === 'listening' && url !== undefined) {
      child.stdout.resume();
      return { process: child, url };
    }
  }
  throw new Error('The controller ended before it listened');
};

const kill = async ({ process: child }: Running, signal: NodeJS.Signals): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
};

test('killed at any moment of its writes, the controller has what it answered and nothing by halves', async (t) => {
  const state = mkdtempSync(join(tmpdir(), 'svt-kill-'));
  let running: Running | undefined;
  t.teardown(async () => {
    if (running !== undefined) await kill(running, 'SIGKILL');
    rmSync(state, { recursive: true, force: true });
  });
  const call = async (method: string, path: string, body?: object, key?: string) => {
    const response = await fetch(`${running?.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${readFileSync(join(state, 'admin.key'), 'utf8').trim()}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const acknowledged = new Map<string, string>();
  const removed = new Set<string>();
  let token = '';
  let serial = 0;
  let unanswered: { path: string; body: object; key: string }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    running = await start(state);
    if (round === 0) {
      await call('POST', '/v1/zones', { name: 'z' });
      token = String((await call('POST', '/v1/hosts', { zone: 'z', name: 'h' })).body['token']);
      await call('POST', '/v1/public-ip-ranges', {
        zone: 'z',
        prefix: '203.0.113.0/24',
        gateway: '203.0.113.1',
      });
    }
    // The agent is heard of, so that networks can be implemented.
    await fetch(`${running.url}/v1/agent/routers`, { headers: { authorization: `Bearer ${token}` } });
    for (let wait = 0; wait < 100; wait += 1) {
      const hosts = (await call('GET', '/v1/hosts')).body['items'] as { state: string }[];
      if (hosts[0]?.state === 'up') break;
    }
    for (const [id, path] of acknowledged)
      t.is((await call('GET', `/v1/${path}/${id}`)).status, removed.has(id) ? 404 : 200, `${path} ${id}`);
    // What was not answered is asked again with its key: it was done, or is done now, once.
    for (const { path, body, key } of unanswered) {
      const again = await call('POST', `/v1/${path}`, body, key);
      t.true([201, 404, 409].includes(again.status), JSON.stringify(again.body));
      if (again.status === 201) acknowledged.set(String(again.body['id']), path);
    }
    unanswered = [];
    const post = async (path: string, body: object): Promise<string | undefined> => {
      serial += 1;
      const key = `k${serial}`;
      const pending = { path, body, key };
      unanswered.push(pending);
      const answer = await call('POST', `/v1/${path}`, body, key);
      unanswered = unanswered.filter((one) => one !== pending);
      if (answer.status !== 201) return undefined;
      acknowledged.set(String(answer.body['id']), path);
      return String(answer.body['id']);
    };
    const worker = async (): Promise<void> => {
      for (let turn = 0; turn < 1000; turn += 1) {
        serial += 1;
        const name = `r${round}-${serial}`;
        const network = await post('networks', { name });
        if (network === undefined) continue;
        const instance = await post('instances', { name, network, generatePassword: true });
        const publicIp = await post('public-ips', { network });
        if (instance === undefined || publicIp === undefined) continue;
        await post('port-forwards', {
          publicIp,
          protocol: 'tcp',
          publicPorts: 80,
          instance,
          openFirewall: true,
        });
        if (turn % 3 === 0) continue;
        const gone = await call('DELETE', `/v1/instances/${instance}`);
        if (gone.status === 200) {
          removed.add(instance);
          for (const [id, path] of acknowledged)
            if (path === 'port-forwards' && (await call('GET', `/v1/port-forwards/${id}`)).status === 404)
              removed.add(id);
        }
      }
    };
    const workers = Promise.allSettled([worker(), worker(), worker()]);
    const target = running;
    await new Promise((resolve) => setTimeout(resolve, 300 + round * 137));
    await kill(target, 'SIGKILL');
    await workers;
    // A removal that was done but not answered, and what went with it, is settled by a look after the restart.
    const store = await openStore({ directory: join(state, 'controller') });
    try {
      t.deepEqual(await violations(store.db), [], `round ${round}`);
      for (const [id, path] of acknowledged) {
        if (path !== 'instances' && path !== 'port-forwards') continue;
        const table = path === 'instances' ? 'instance' : 'port_forward';
        const row = await store.db.selectFrom(table).select('id').where('id', '=', id).executeTakeFirst();
        const told = await store.db
          .selectFrom('event')
          .select('id')
          .where('resource', '=', id)
          .where('type', '=', `${table.replace('_', '-')}.removed`)
          .executeTakeFirst();
        t.is(row === undefined, told !== undefined, `${id} is gone without an event, or there with one`);
        if (row === undefined) removed.add(id);
      }
    } finally {
      await store.close();
    }
  }
  t.true(acknowledged.size > 20, String(acknowledged.size));
  running = await start(state);
  for (const [id, path] of acknowledged)
    t.is((await call('GET', `/v1/${path}/${id}`)).status, removed.has(id) ? 404 : 200);
  const ended = once(running.process, 'exit');
  running.process.kill('SIGTERM');
  const [code] = (await ended) as [number | null];
  t.is(code, 0, 'it ends in good order when asked to');
});
