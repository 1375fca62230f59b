import { createHash } from 'node:crypto';
import type { LoadBalancer, LoadBalancerMember } from 'documents';
import { haproxyPaths, type LoadBalancerPart } from './schema.ts';

/** One member as haproxy has it. A draining one has weight 0: it keeps its connections and gets no new ones. */
export interface RenderedServer {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly weight: number;
}

/** What haproxy is to be given: empty `backends` means that it is not to run at all. */
export interface RenderedLoadBalancers {
  /** Id of the router. */
  readonly subject: string;
  /** Names everything but the servers. A worker tells it as its description, which is how we know what it has loaded. */
  readonly structure: string;
  /** Servers by backend: what the runtime socket can change without a reload. */
  readonly backends: ReadonlyMap<string, readonly RenderedServer[]>;
  /** haproxy.cfg, complete; empty when nothing is to run. */
  readonly configuration: string;
}

/**
 * Options of every server: one that is down is asked twice as often, for it to be back soon. The same in the file and over the
 * socket (`default-server` does not apply to the latter).
 */
export const serverOptions = (weight: number): string =>
  `check inter 2s downinter 1s fall 3 rise 2 weight ${weight}`;

const rendered = (member: LoadBalancerMember): RenderedServer => ({
  name: member.id,
  address: member.address,
  port: member.port,
  weight: member.draining ? 0 : 100,
});

/** `structure` goes into the description, and is computed from the text it is left out of. */
const global = (
  structure: string,
): string => `# Written from the router document. Changes made here are undone.
global
  description ${structure}
  user haproxy
  group haproxy
  chroot ${haproxyPaths.jail}
  # As many threads as a router has processors would be memory for every router of a large host.
  nbthread 2
  maxconn 8000
  # Where fewer files may be open, serve fewer connections instead of none.
  no strict-limits
  stats socket unix@${haproxyPaths.runtimeSocket} mode 600 level admin expose-fd listeners
  # Connections of a worker that was replaced may go on this long.
  hard-stop-after 1h

defaults
  retries 3
  option redispatch
  option dontlognull
  timeout connect 5s
  timeout client 50s
  timeout server 50s
  timeout client-fin 30s
  timeout tunnel 1h
  timeout http-request 30s
  timeout http-keep-alive 30s
`;

/** idle-close-on-response: a reload must not close a connection under a request that is on its way. */
const HTTP = `  option forwardfor
  option idle-close-on-response
  http-request set-header X-Forwarded-Proto http
`;

/** A balancer's frontend and backend, without the servers. */
const section = ({ id, publicAddress, port, protocol, algorithm }: LoadBalancer): string => {
  const mode = protocol === 'http' ? '  mode http\n' : '  mode tcp\n';
  return [
    `\nfrontend ${id}\n${mode}`,
    // transparent: a public address may come to its leg later than the listener (haproxy manual, 5.1 bind).
    `  bind ${publicAddress}:${port} transparent\n`,
    protocol === 'http' ? HTTP : '',
    `  default_backend ${id}\n`,
    `\nbackend ${id}\n${mode}`,
    `  balance ${algorithm}\n`,
    // Consistent: servers can come and go at run time, and take only their own share of the clients with them.
    algorithm === 'source' ? '  hash-type consistent\n' : '',
  ].join('');
};

const serverLine = ({ name, address, port, weight }: RenderedServer): string =>
  `  server ${name} ${address}:${port} ${serverOptions(weight)}\n`;

/** haproxy's configuration for a document; pure. Servers stand in the order of the document. */
export const render = ({ id, loadBalancers }: LoadBalancerPart): RenderedLoadBalancers => {
  if (loadBalancers.length === 0) {
    return { subject: id, structure: '', backends: new Map(), configuration: '' };
  }
  const sections = loadBalancers.map((balancer) => ({
    id: balancer.id,
    text: section(balancer),
    servers: balancer.members.map(rendered),
  }));
  const hash = createHash('sha256').update(global(''));
  for (const { text } of sections) hash.update(text);
  const structure = `structure-${hash.digest('hex').slice(0, 16)}`;
  return {
    subject: id,
    structure,
    backends: new Map(sections.map(({ id: backend, servers }) => [backend, servers])),
    configuration:
      global(structure) +
      sections.map(({ text, servers }) => text + servers.map(serverLine).join('')).join(''),
  };
};
