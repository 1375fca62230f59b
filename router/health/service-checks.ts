import { get } from 'node:http';
import type { RouterDocument } from 'documents';
import { addressOfPrefix, type Prefix } from 'ip';
import { loadedStructure, runningServers } from '../loadbalancer/haproxy.ts';
import { metadataServer } from '../metadata/apply.ts';
import { service } from '../service/services.ts';
import type { System } from '../system.ts';
import { askDns } from './ask-dns.ts';
import { type Finding, finding } from './finding.ts';

/** How long a service may take to answer, ms. */
const ANSWER_WITHIN = 2_000;

/** dnsmasq by a real question on each guest leg's own address: one about a name of its own, which it need not forward. */
export const checkDnsmasq = async (system: System, { legs, dns }: RouterDocument): Promise<Finding[]> => {
  const condition = service(system, 'dnsmasq').condition;
  if (condition === null) return [];
  if (condition.status !== 'True') return [finding('dnsmasq', 'fail', condition.message)];
  const addresses = legs
    .filter(({ role }) => role === 'guest')
    .flatMap((leg) => leg.addresses.filter((address) => !address.includes(':')).slice(0, 1))
    .map((address) => addressOfPrefix(address as Prefix));
  const answers = await Promise.all(
    addresses.map(async (address) => ({
      address,
      code: await askDns(address, `health-check.${dns.domain}`, ANSWER_WITHIN),
    })),
  );
  const silent = answers.filter(({ code }) => code === null).map(({ address }) => address);
  return [
    silent.length === 0
      ? finding('dnsmasq', 'pass', `answers on ${addresses.join(', ')}`)
      : finding('dnsmasq', 'fail', `does not answer on ${silent.join(', ')}`),
  ];
};

/** haproxy by its runtime socket, each load balancer by its members. */
export const checkHaproxy = async (system: System, { loadBalancers }: RouterDocument): Promise<Finding[]> => {
  const condition = service(system, 'haproxy').condition;
  if (condition === null) return [];
  if (condition.status !== 'True') return [finding('haproxy', 'fail', condition.message)];
  if ((await loadedStructure(system)) === null)
    return [finding('haproxy', 'fail', 'its socket does not answer')];
  const running = await runningServers(system);
  const balancers = loadBalancers.map(({ id, members }) => {
    const serving = members.filter(({ draining }) => !draining);
    const down = serving
      .filter((member) => running.get(id)?.get(member.id)?.up === false)
      .map((member) => member.id);
    const name = `load balancer ${id}`;
    if (serving.length === 0) return finding(name, 'warn', 'has no member that takes connections');
    if (down.length === serving.length) return finding(name, 'fail', 'no member answers its health checks');
    if (down.length > 0) return finding(name, 'warn', `members down: ${down.join(', ')}`);
    return finding(name, 'pass', `${serving.length} members up`);
  });
  return [finding('haproxy', 'pass', 'its socket answers'), ...balancers];
};

const statusOf = (address: string, port: number): Promise<number | null> =>
  new Promise((resolve) => {
    const request = get(
      { host: address, port, path: '/latest/', timeout: ANSWER_WITHIN, agent: false },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? null);
      },
    );
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(null));
  });

/** The metadata service by a real request to each listener; "not found" is an answer, for the router is no guest. */
export const checkMetadata = async (system: System): Promise<Finding[]> => {
  const server = metadataServer(system);
  const listeners = (server.current?.listeners ?? []).flatMap((address) =>
    [80, 8080].map((port) => ({ address, port })),
  );
  if (listeners.length === 0) return [];
  const answers = await Promise.all(
    listeners.map(async ({ address, port }) => ({
      name: `${address}:${port}`,
      status: await statusOf(address, port),
    })),
  );
  const silent = answers.filter(({ status }) => status === null).map(({ name }) => name);
  return [
    silent.length === 0
      ? finding('metadata', 'pass', `answers on ${answers.map(({ name }) => name).join(', ')}`)
      : finding('metadata', 'fail', `does not answer on ${silent.join(', ')}`),
  ];
};
