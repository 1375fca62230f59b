/** A network that can take every kind of load, made through the public API. */
import type { Resource } from '../../cli/client.ts';
import { INTERNET, LAB_SERVER } from '../../cli/lab/up.ts';
import type { TestStack } from '../../test/system/stack.ts';
import { SERVICE_PORT, type TrafficMap } from './traffic-map.ts';

export interface PrepareOptions {
  /** Of the network; the guests are named after it. */
  readonly name?: string;
  /** At least 2: one that asks, the others serve. */
  readonly guests?: number;
}

export interface PreparedTraffic {
  readonly network: Resource;
  /** Id of the router. */
  readonly router: string;
  readonly guests: readonly Resource[];
  /** Sources and ends of each kind of address translation. */
  readonly publicIps: {
    readonly sourceNat: Resource;
    readonly portForwards: Resource;
    readonly staticNat: Resource;
  };
  readonly loadBalancer: Resource;
  readonly map: TrafficMap;
}

const BALANCED_PORT = 7080;
const FIRST_FORWARDED_PORT = 8001;
const MEMBERS = 4;

/**
 * Makes a network with egress open, guests, source NAT, an address with port forwards, one with static NAT, a balancer
 * on the source NAT address, and every firewall rule this takes. Removes nothing: it goes with the stack.
 */
export const prepareTraffic = async (
  stack: TestStack,
  { name = 'traffic', guests: count = 6 }: PrepareOptions = {},
): Promise<PreparedTraffic> => {
  const network = await stack.create('/v1/networks', { name, offering: 'isolated-egress-allow' });
  const guests: Resource[] = [];
  for (let number = 1; number <= Math.max(2, count); number += 1)
    guests.push(await stack.create('/v1/instances', { name: `${name}-${number}`, network: network.id }));
  const [client, ...servers] = guests;
  const [mapped] = servers;
  if (client === undefined || mapped === undefined)
    throw new Error('two guests were made, and are not there');
  // Behind static NAT stands a guest of its own, if there are enough.
  const members = servers.slice(-MEMBERS);

  const sourceNat = (await stack.client().list('/v1/public-ips')).find(
    (ip) => ip['network'] === network.id && ip['sourceNat'] === true,
  );
  if (sourceNat === undefined) throw new Error(`${name} has no source NAT address`);
  const portForwards = await stack.create('/v1/public-ips', { network: network.id });
  const staticNat = await stack.create('/v1/public-ips', { network: network.id });

  for (const [index, member] of members.entries())
    await stack.create('/v1/port-forwards', {
      publicIp: portForwards.id,
      protocol: 'tcp',
      publicPorts: { first: FIRST_FORWARDED_PORT + index, last: FIRST_FORWARDED_PORT + index },
      instance: member.id,
      guestPorts: { first: SERVICE_PORT, last: SERVICE_PORT },
      openFirewall: true,
    });

  await stack.create('/v1/static-nats', { publicIp: staticNat.id, instance: mapped.id });
  for (const protocol of ['tcp', 'udp'])
    await stack.create('/v1/firewall-rules', {
      publicIp: staticNat.id,
      protocol,
      ports: { first: SERVICE_PORT, last: SERVICE_PORT },
    });
  for (const ip of [sourceNat, portForwards, staticNat])
    await stack.create('/v1/firewall-rules', { publicIp: ip.id, protocol: 'icmp' });

  const loadBalancer = await stack.create('/v1/load-balancers', {
    name,
    publicIp: sourceNat.id,
    port: BALANCED_PORT,
    protocol: 'tcp',
    members: members.map(({ id }) => ({ instance: id, port: SERVICE_PORT })),
  });
  await stack.create('/v1/firewall-rules', {
    publicIp: sourceNat.id,
    protocol: 'tcp',
    ports: { first: BALANCED_PORT, last: BALANCED_PORT },
  });

  const running = await stack.client().get(`/v1/networks/${network.id}`);
  const namespace = (machine: string): string => `${stack.prefix}-${machine}`;
  return {
    network: running,
    router: String(running['router']),
    guests,
    publicIps: { sourceNat, portForwards, staticNat },
    loadBalancer,
    map: {
      label: name,
      internet: { namespace: namespace(INTERNET), address: LAB_SERVER },
      client: { namespace: namespace(client.id), address: String(client['address']) },
      servers: servers.map(({ id }) => namespace(id)),
      staticNat: String(staticNat['address']),
      portForwards: members.map((_, index) => ({
        address: String(portForwards['address']),
        port: FIRST_FORWARDED_PORT + index,
      })),
      loadBalancer: { address: String(sourceNat['address']), port: BALANCED_PORT },
      router: String(running['gateway']),
      names: guests.map((guest) => ({
        name: `${String(guest['name'])}.${String(running['domain'])}`,
        address: String(guest['address']),
      })),
      outside: { domain: 'example.com', address: LAB_SERVER },
    },
  };
};
