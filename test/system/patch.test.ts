/** Routers are patched under traffic: nothing is lost, what is bad is taken back by itself, and the API says who needs what. */
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ApiError, type Resource } from '../../cli/client.ts';
import { bundleVariant } from './bundle-variant.ts';
import { startTestStack, type TestStack } from './stack.ts';
import { makeTenant, probeBothWays, type Tenant } from './tenant.ts';

let stack: TestStack;
let tenant: Tenant;

test.before(async () => {
  stack = await startTestStack(`svt${process.pid}`);
  tenant = await makeTenant(stack, 'web');
  await stack.create('/v1/load-balancers', {
    name: 'echo',
    publicIp: tenant.publicIp.id,
    port: 7000,
    members: [{ instance: tenant.guests[0].id, port: 7 }],
  });
  await stack.create('/v1/firewall-rules', {
    publicIp: tenant.publicIp.id,
    protocol: 'tcp',
    ports: { first: 7000, last: 7000 },
  });
  // haproxy serves members from their first health check on.
  for (let tries = 0; tries < 100; tries += 1)
    if ((JSON.parse(await node('internet', ...session(1))) as Session).broken === null) return;
  throw new Error('the load balancer does not answer');
});
test.after.always(() => stack?.destroy());

interface Session {
  readonly sent: number;
  readonly echoed: number;
  readonly broken: string | null;
}
interface Services {
  readonly names: { readonly asked: number; readonly failed: number };
  readonly metadata: { readonly asked: number; readonly failed: number };
  readonly reasons: readonly string[];
}

/** What a program of this folder prints in a machine. */
const node = (machine: string, program: string, ...args: (string | number)[]): Promise<string> =>
  stack
    .run(machine, [process.execPath, join(import.meta.dirname, program), ...args.map(String)], 60_000)
    .then(({ stdout }) => stdout);

/** Program and arguments of so many messages through haproxy. */
const session = (messages: number) =>
  ['session.ts', String(tenant.publicIp['address']), 7000, messages, 20] as const;

/** Everything a router does, for so many ms: forwarding both ways, a session through haproxy, names, metadata. */
const traffic = (duration: number) => {
  const gateway = String(tenant.network['gateway']);
  const name = `web-2.${String(tenant.network['domain'])}`;
  const url = `http://${gateway}/latest/meta-data/instance-id`;
  const probes = probeBothWays(stack, tenant, duration);
  const sessions = node('internet', ...session(duration / 20));
  const services = node(tenant.guests[1].id, 'services.ts', gateway, name, url, duration / 20, 20);
  return async () => ({
    probes: await probes,
    session: JSON.parse(await sessions) as Session,
    services: JSON.parse(await services) as Services,
  });
};

/** `daemonDies`: what a daemon itself answers waits for the next one then. */
const nothingLost = async (
  t: ExecutionContext,
  running: ReturnType<typeof traffic>,
  daemonDies = false,
): Promise<void> => {
  const { probes, session, services } = await running();
  for (const probe of probes) t.like(probe, { lost: 0, doubled: 0 }, JSON.stringify(probe));
  t.like(session, { broken: null, echoed: session.sent }, JSON.stringify(session));
  t.is(services.names.failed, 0, JSON.stringify(services));
  if (!daemonDies) t.is(services.metadata.failed, 0, JSON.stringify(services));
  t.log(`${services.names.asked} names, ${services.metadata.asked} metadata, ${session.sent} of a session`);
};

const upload = (file: Buffer, given: object = {}): Promise<Resource> =>
  stack.client().post('/v1/router-bundles', { content: file.toString('base64'), ...given });
const router = (): Promise<Resource> => stack.client().get(`/v1/routers/${tenant.router}`);
const versionOf = (resource: Resource): string | undefined =>
  (resource['bundle'] as { version: string } | null)?.version;
const operationOf = async (body: object = {}): Promise<string> =>
  String((await stack.client().post(`/v1/routers/${tenant.router}/patch`, body)).operation);
const patched = async (body: object = {}) => stack.client().wait(await operationOf(body), () => {});

/** Pids of programs of the router, by the name of the program. */
const programs = (name: string): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid)) return false;
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
        return (
          line[0]?.endsWith(name) === true && line.some((arg) => arg.includes(`/routers/${tenant.router}/`))
        );
      } catch {
        return false;
      }
    });

/** Whether a connection from outside ends in the router. */
const sessionIsThere = async (): Promise<boolean> =>
  (
    await stack.run(tenant.router, ['/usr/bin/ss', '-Htn', 'state', 'established', 'sport', '=', ':7000'])
  ).stdout.trim() !== '';

const selvage = (...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> =>
  new Promise((done, reject) => {
    const { SELVAGE_URL: _url, SELVAGE_API_KEY: _key, ...environment } = process.env;
    const program = join(import.meta.dirname, '../../cli/bin/selvage');
    const child = spawn(program, ['--state', stack.state, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment,
    });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
    child.once('error', reject);
    child.once('close', (code) => done({ code, ...output }));
  });

test.serial(
  'patched under traffic, also with the agent killed in the middle, a router loses nothing',
  async (t) => {
    t.like(await router(), { needs: 'upToDate', wantedBundle: { version: versionOf(await router()) } });
    const before = { haproxy: programs('haproxy'), dnsmasq: programs('dnsmasq') };
    t.true(before.haproxy.length > 0 && before.dnsmasq.length > 0);
    await upload(await bundleVariant('9.0.1'), { default: true });
    t.like(await router(), { needs: 'patch' });
    t.regex((await selvage('router', 'list')).stdout, /VERSION +NEEDS\n.* patch$/m);
    const running = traffic(7000);
    await new Promise((done) => setTimeout(done, 500));
    const since = performance.now();
    const said = await selvage('router', 'patch', tenant.router);
    t.log(`${(performance.now() - since).toFixed(0)} ms by the command line\n${said.stdout}`);
    t.is(said.code, 0, said.stderr);
    for (const step of ['deliver', 'switch', 'confirm'])
      t.regex(said.stdout, new RegExp(`^${step} +\\d+ ms`, 'm'));
    t.like(await router(), { needs: 'upToDate', needsBecause: '', bundle: { version: '9.0.1' } });
    const second = await upload(await bundleVariant('9.0.2'));
    const operation = await operationOf({ bundle: second.id });
    const record = join(stack.state, 'host/routers', tenant.router, 'bundle.json');
    for (const end = performance.now() + 10_000; performance.now() < end; ) {
      if ((JSON.parse(readFileSync(record, 'utf8')) as { trying: object | null }).trying !== null) break;
      await new Promise((done) => setTimeout(done, 2));
    }
    process.kill(Number(stack.stack().pids().agent), 'SIGKILL');
    await stack.client().wait(operation, () => {});
    t.like(await router(), { bundle: { version: '9.0.2' }, needs: 'patch' });
    await nothingLost(t, running);
    t.deepEqual({ haproxy: programs('haproxy'), dnsmasq: programs('dnsmasq') }, before);
  },
);

test.serial('a bad bundle is taken back by itself, one of a stranger is not taken at all', async (t) => {
  const was = versionOf(await router());
  const dies = `
    const { readFileSync: readOwnRecord } = process.getBuiltinModule('node:fs');
    setInterval(() => {
      try {
        const directory = process.argv[process.argv.indexOf('--state') + 1];
        if (JSON.parse(readOwnRecord(directory + '/daemon.json', 'utf8')).pid === process.pid) process.exit(9);
      } catch {}
    }, 5).unref();
  `;
  const throws = await upload(await bundleVariant('9.1.0', `throw new Error('broken on purpose');\n`));
  const quits = await upload(await bundleVariant('9.1.1', dies));
  const running = traffic(5000);
  for (const [bundle, message] of [
    [throws, /broken on purpose/],
    [quits, /ended twice/],
  ] as const) {
    const error = await t.throwsAsync(patched({ bundle: bundle.id }));
    t.regex(String(error?.message), message);
    t.is(versionOf(await router()), was);
  }
  await nothingLost(t, running, true);
  const stranger = await bundleVariant('9.1.2', '', generateKeyPairSync('ed25519').privateKey);
  const refusal = await t.throwsAsync<ApiError>(upload(stranger), { instanceOf: ApiError });
  t.is(refusal?.problems[0]?.code, 'unknown-key');
});

test.serial('control: the services restarted instead, sessions and answers are lost', async (t) => {
  const running = traffic(3000);
  for (let look = 0; look < 500 && !(await sessionIsThere()); look += 1) continue;
  for (const pid of [...programs('haproxy'), ...programs('dnsmasq')]) process.kill(pid, 'SIGKILL');
  const { probes, session } = await running();
  t.not(session.broken, null, JSON.stringify(session));
  // The kernel forwards whatever happens to programs.
  for (const probe of probes) t.like(probe, { lost: 0 }, JSON.stringify(probe));
});
