import { join } from 'node:path';
import type { Resource } from '../../cli/client.ts';
import { LAB_SERVER } from '../../cli/lab/up.ts';
import type { TestStack } from './stack.ts';

const SERVER = join(import.meta.dirname, 'guest-server.ts');
const PROBE = join(import.meta.dirname, 'probe.ts');

/** A small network that is in use: two guests with services, a public address with a port forward that is open. */
export interface Tenant {
  readonly network: Resource;
  readonly router: string;
  readonly guests: readonly [Resource, Resource];
  /** The source NAT address and its id. */
  readonly publicIp: Resource;
}

export const makeTenant = async (stack: TestStack, name: string): Promise<Tenant> => {
  const network = await stack.create('/v1/networks', { name, offering: 'isolated-egress-allow' });
  const first = await stack.create('/v1/instances', { name: `${name}-1`, network: network.id });
  const second = await stack.create('/v1/instances', { name: `${name}-2`, network: network.id });
  for (const guest of [first, second])
    stack.start(guest.id, [process.execPath, SERVER, String(guest['name']), '8080', '7']);
  const publicIp = (await stack.client().list('/v1/public-ips')).find(
    (ip) => ip['network'] === network.id && ip['sourceNat'] === true,
  );
  if (publicIp === undefined) throw new Error('the network has no source NAT address');
  await stack.create('/v1/port-forwards', {
    publicIp: publicIp.id,
    protocol: 'udp',
    publicPorts: { first: 7, last: 7 },
    instance: first.id,
  });
  await stack.create('/v1/firewall-rules', {
    publicIp: publicIp.id,
    protocol: 'udp',
    ports: { first: 7, last: 7 },
  });
  const router = String((await stack.client().get(`/v1/networks/${network.id}`))['router']);
  return { network, router, guests: [first, second], publicIp };
};

export interface ProbeResult {
  readonly sent: number;
  readonly received: number;
  readonly lost: number;
  readonly doubled: number;
  readonly longestGapMs: number;
}

/** Probes from `machine` to an echo service, `count` of them, one a `interval` ms. */
export const probe = async (
  stack: TestStack,
  machine: string,
  address: string,
  count: number,
  interval = 1,
): Promise<ProbeResult> => {
  const { stdout, stderr } = await stack.run(
    machine,
    [process.execPath, PROBE, address, '7', String(count), String(interval)],
    count * interval * 4 + 30_000,
  );
  if (stdout === '') throw new Error(`the probe said nothing: ${stderr}`);
  return JSON.parse(stdout) as ProbeResult;
};

/** Probes both ways at once: a guest to the internet (source NAT), the internet to a guest (port forward). */
export const probeBothWays = async (
  stack: TestStack,
  tenant: Tenant,
  count: number,
): Promise<readonly [outward: ProbeResult, inward: ProbeResult]> =>
  Promise.all([
    probe(stack, tenant.guests[0].id, LAB_SERVER, count),
    probe(stack, 'internet', String(tenant.publicIp['address']), count),
  ]);
