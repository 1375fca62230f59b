import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Resource } from '../../cli/client.ts';
import { LAB_SERVER } from '../../cli/lab/up.ts';
import type { TestStack } from './stack.ts';
import { probeBothWays, type ProbeResult, type Tenant } from './tenant.ts';

interface Session {
  readonly sent: number;
  readonly echoed: number;
  readonly broken: string | null;
}
interface Tally {
  readonly asked: number;
  readonly failed: number;
}

/** What became of all that was under way through and in a router. */
export interface Everything {
  /** Datagrams at 1 kHz, out by source NAT and in by a port forward. */
  readonly probes: readonly ProbeResult[];
  /** One long TCP connection by source NAT. */
  readonly flow: Session;
  /** One TCP connection that ends in haproxy; null: there was to be none. */
  readonly session: Session | null;
  readonly services: { readonly names: Tally; readonly metadata: Tally; readonly reasons: readonly string[] };
}

const EVERY = 40;

/** A load balancer for the tenant's first guest, for `everything`; answers when this resolves. */
export const balance = async (stack: TestStack, tenant: Tenant, port: number): Promise<Resource> => {
  const balancer = await stack.create('/v1/load-balancers', {
    name: `echo-${port}`,
    publicIp: tenant.publicIp.id,
    port,
    members: [{ instance: tenant.guests[0].id, port: 7 }],
  });
  await stack.create('/v1/firewall-rules', {
    publicIp: tenant.publicIp.id,
    protocol: 'tcp',
    ports: { first: port, last: port },
  });
  await isBalanced(stack, tenant, port);
  return balancer;
};

/** haproxy serves members from their first health check on. */
export const isBalanced = async (stack: TestStack, tenant: Tenant, port: number): Promise<void> => {
  for (let tries = 0; tries < 100; tries += 1)
    if ((await session(stack, 'internet', String(tenant.publicIp['address']), port, 50)).broken === null)
      return;
  throw new Error('the load balancer does not answer');
};

const node = async (stack: TestStack, machine: string, program: string, ...args: (string | number)[]) => {
  const file = join(import.meta.dirname, program);
  const { stdout, stderr } = await stack.run(machine, [process.execPath, file, ...args.map(String)], 90_000);
  if (stdout === '') throw new Error(`${program} said nothing: ${stderr}`);
  return JSON.parse(stdout) as unknown;
};

const session = async (stack: TestStack, machine: string, address: string, port: number, duration: number) =>
  (await node(stack, machine, 'session.ts', address, port, Math.ceil(duration / 50), 50)) as Session;

/**
 * Everything a router does, for `duration` ms. `held`: how long the session through haproxy lasts, which keeps a router that
 * is replaced for as long, ms; none without `port`.
 */
export const everything = (
  stack: TestStack,
  tenant: Tenant,
  given: { readonly duration: number; readonly held?: number; readonly port?: number },
): (() => Promise<Everything>) => {
  const { duration, held = duration, port } = given;
  const gateway = String(tenant.network['gateway']);
  const name = `${String(tenant.guests[1]['name'])}.${String(tenant.network['domain'])}`;
  const url = `http://${gateway}/latest/meta-data/instance-id`;
  const running = Promise.all([
    probeBothWays(stack, tenant, duration),
    session(stack, tenant.guests[0].id, LAB_SERVER, 7, duration),
    port === undefined ? null : session(stack, 'internet', String(tenant.publicIp['address']), port, held),
    node(stack, tenant.guests[1].id, 'services.ts', gateway, name, url, duration / EVERY, EVERY),
  ]);
  // Whoever waits for it later is told.
  running.catch(() => {});
  return async () => {
    const [probes, flow, through, services] = await running;
    return { probes, flow, session: through, services: services as Everything['services'] };
  };
};

/** What may honestly be lost. */
export interface MayFail {
  /** What a daemon answers itself waits while it is dead. */
  readonly metadata?: boolean;
  /** dnsmasq was killed. */
  readonly names?: boolean;
  /** haproxy was killed: what ended in it did. */
  readonly session?: boolean;
}

/** Nothing was lost but what may be; `session` must be, so that it is known to have been cut. */
export const nothingLost = async (
  t: ExecutionContext,
  running: () => Promise<Everything>,
  may: MayFail = {},
): Promise<void> => {
  const { probes, flow, session: through, services } = await running();
  for (const probe of probes) t.like(probe, { lost: 0, doubled: 0 }, JSON.stringify(probe));
  t.like(flow, { broken: null, echoed: flow.sent }, JSON.stringify(flow));
  if (through !== null && may.session === true) t.not(through.broken, null, 'a session that was cut');
  else if (through !== null) t.like(through, { broken: null, echoed: through.sent }, JSON.stringify(through));
  const said = JSON.stringify(services);
  t.true(services.names.asked > 20 && services.metadata.asked > 20, said);
  if (may.names !== true) t.is(services.names.failed, 0, said);
  if (may.metadata !== true) t.is(services.metadata.failed, 0, said);
  if (services.names.failed + services.metadata.failed > 0) t.log(`failed, as they may: ${said}`);
};
