import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import test from 'ava';
import pino from 'pino';
import { startController } from '../../start-controller.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';

/** Bytes of all files below a folder. */
const contents = (folder: string): Map<string, Buffer> => {
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) {
      const path = join(entry.parentPath, entry.name);
      files.set(path, readFileSync(path));
    }
  return files;
};

test('keys, tokens and passwords are in no answer but the first, no log line, and not in the database', async (t) => {
  const state = mkdtempSync(join(tmpdir(), 'svt-secrets-'));
  t.teardown(() => rmSync(state, { recursive: true, force: true }));
  const lines: string[] = [];
  const logger = pino(
    { level: 'trace' },
    new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    }),
  );
  const controller = await startController({ state, host: '127.0.0.1', port: 0, networkGc: 600, logger });
  let stopped = false;
  t.teardown(async () => {
    if (!stopped) await controller.stop();
  });
  t.is(statSync(controller.keyFile).mode & 0o777, 0o600);
  t.is(statSync(join(state, 'controller', 'secret.key')).mode & 0o777, 0o600);
  t.is(statSync(join(state, 'controller', 'selvage.sqlite')).mode & 0o777, 0o600);
  const adminKey = readFileSync(controller.keyFile, 'utf8').trim();
  const call = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
    const response = await fetch(`${controller.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${adminKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await response.json()) as Record<string, unknown>;
  };
  await call('POST', '/v1/zones', { name: 'z' });
  const host = await call('POST', '/v1/hosts', { zone: 'z', name: 'h' }, { 'idempotency-key': 'a' });
  const key = await call('POST', '/v1/api-keys', { name: 'k' }, { 'idempotency-key': 'b' });
  await call('POST', '/v1/public-ip-ranges', { zone: 'z', prefix: '203.0.113.0/24', gateway: '203.0.113.1' });
  await controller.store.db.updateTable('host').set({ last_seen_at: Date.now() }).execute();
  const network = await call('POST', '/v1/networks', { name: 'n' });
  const instance = await call(
    'POST',
    '/v1/instances',
    { name: 'i', network: network['id'], generatePassword: true },
    { 'idempotency-key': 'c' },
  );
  const secrets = [adminKey, host['token'], key['key'], instance['password']].map(String);
  for (const secret of secrets) t.regex(secret, /^[\w-]{16,}$/);
  // The agent gets the password; nobody else does.
  const router = (await call('GET', '/v1/routers'))['items'] as { id: string }[];
  const delivered = await fetch(`${controller.url}/v1/agent/routers/${router[0]?.id}/document`, {
    headers: { authorization: `Bearer ${String(host['token'])}` },
  });
  t.true((await delivered.text()).includes(String(instance['password'])));
  const paths = [
    'hosts',
    'api-keys',
    'instances',
    'accounts',
    'networks',
    'events',
    'operations',
    'routers',
    'ports',
  ];
  for (const path of [
    ...paths.map((kind) => `/v1/${kind}`),
    `/v1/hosts/${host['id']}`,
    `/v1/api-keys/${key['id']}`,
    `/v1/instances/${instance['id']}`,
    `/v1/routers/${router[0]?.id}/document`,
    `/openapi.json`,
  ]) {
    const text = JSON.stringify(await call('GET', path));
    for (const secret of secrets) t.false(text.includes(secret), path);
  }
  const replay = await call('POST', '/v1/api-keys', { name: 'k' }, { 'idempotency-key': 'b' });
  t.is(replay['key'], key['key'], 'the kept answer is whole, but not to be read at rest');
  await controller.stop();
  stopped = true;
  t.true(lines.length > 10);
  for (const secret of secrets)
    t.false(
      lines.some((line) => line.includes(secret)),
      'logged',
    );
  for (const [file, bytes] of contents(state)) {
    if (file === controller.keyFile) continue;
    for (const secret of secrets) t.false(bytes.includes(secret), `${file} has a secret in it`);
  }
});
