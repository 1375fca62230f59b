/**
 * The table the command line is made from: every resource of the API, its columns and the flags that create it.
 * A new resource is one more entry here.
 */
import { readFileSync } from 'node:fs';
import {
  parseBoolean,
  parseIcmp,
  parseInteger,
  parseMember,
  parsePair,
  parsePorts,
  parsePublicKey,
  parseUserData,
} from './options.ts';

export interface CreateOption {
  /** commander's flags: `--network <id>`. */
  readonly flags: string;
  /** Field of the request body. */
  readonly field: string;
  readonly description: string;
  readonly required?: true;
  /** May be given several times; the field is a list. */
  readonly repeated?: true;
  readonly parse?: (text: string) => unknown;
  /** Path of the resource the value names, by id or by name. */
  readonly reference?: string;
  /** Builds the field's value from all parsed values of a repeated option. */
  readonly combine?: (values: readonly unknown[]) => unknown;
  /** The option can be changed later with `update`. */
  readonly updatable?: true;
}

export interface ResourceKind {
  /** Singular, as in `selvage network`. */
  readonly noun: string;
  readonly path: string;
  readonly description: string;
  /** Fields shown by `list`, after the id. */
  readonly columns: readonly string[];
  readonly create?: readonly CreateOption[];
  readonly deletable?: true;
  readonly example?: string;
}

const zone: CreateOption = {
  flags: '--zone <zone>',
  field: 'zone',
  description: 'zone, by id or name; may be left out while there is one',
  reference: '/v1/zones',
};
const account: CreateOption = {
  flags: '--account <account>',
  field: 'account',
  description: 'owner, by id or name (admin only; default: yourself)',
  reference: '/v1/accounts',
};
const name: CreateOption = {
  flags: '--name <name>',
  field: 'name',
  description: 'name, unique in the account',
  required: true,
};
const network: CreateOption = {
  flags: '--network <network>',
  field: 'network',
  description: 'network, by id or name',
  required: true,
  reference: '/v1/networks',
};
const publicIp: CreateOption = {
  flags: '--public-ip <ip>',
  field: 'publicIp',
  description: 'public IP, by id or address',
  required: true,
  reference: '/v1/public-ips',
};
const instance: CreateOption = {
  flags: '--instance <instance>',
  field: 'instance',
  description: 'instance, by id or name',
  required: true,
  reference: '/v1/instances',
};
const icmp: CreateOption = {
  flags: '--icmp <type[/code]>',
  field: 'icmp',
  description: 'ICMP type and code, such as 8 or 3/1',
  parse: parseIcmp,
};
const ports: CreateOption = {
  flags: '--ports <range>',
  field: 'ports',
  description: 'port or range, such as 80 or 8000-8010',
  parse: parsePorts,
};
const sources: CreateOption = {
  flags: '--source <prefix>',
  field: 'sources',
  description: 'who may: a prefix; may be given several times',
  repeated: true,
};

export const resourceKinds: readonly ResourceKind[] = [
  {
    noun: 'zone',
    path: '/v1/zones',
    description: 'a site with its public addresses and hosts',
    columns: ['name', 'guestPrefix', 'dns', 'domain'],
    create: [
      { ...name, description: 'name' },
      {
        flags: '--dns <ip>',
        field: 'dns',
        description: 'resolver that routers ask; may be given several times',
        repeated: true,
        updatable: true,
      },
      {
        flags: '--domain <domain>',
        field: 'domain',
        description: 'domain of networks that name none',
        updatable: true,
      },
      {
        flags: '--guest-prefix <prefix>',
        field: 'guestPrefix',
        description: 'prefix of networks that name none (10.1.1.0/24)',
        updatable: true,
      },
    ],
    deletable: true,
    example: 'selvage zone create --name lon-1 --dns 192.0.2.53',
  },
  {
    noun: 'host',
    path: '/v1/hosts',
    description: 'a hypervisor host and its agent',
    columns: ['name', 'zone', 'state', 'agentVersion', 'lastSeenAt'],
    create: [zone, name],
    deletable: true,
    example: "selvage host create --zone lon-1 --name hv-1   # prints the agent's token once",
  },
  {
    noun: 'account',
    path: '/v1/accounts',
    description: 'a tenant',
    columns: ['name', 'role'],
    create: [name, { flags: '--role <role>', field: 'role', description: 'user (default) or admin' }],
    deletable: true,
    example: 'selvage account create --name acme',
  },
  {
    noun: 'api-key',
    path: '/v1/api-keys',
    description: 'a key to the API',
    columns: ['name', 'account', 'createdAt'],
    create: [{ ...name, description: 'what the key is for' }, account],
    deletable: true,
    example: 'selvage api-key create --account acme --name terraform   # prints the key once',
  },
  {
    noun: 'network-offering',
    path: '/v1/network-offerings',
    description: 'what a network is given: services, egress default',
    columns: ['name', 'egressDefault', 'persistent', 'services', 'state'],
    create: [
      { ...name, description: 'name' },
      {
        flags: '--service <service>',
        field: 'services',
        description: 'service; may be given several times (default: all)',
        repeated: true,
      },
      { flags: '--egress-default <policy>', field: 'egressDefault', description: 'allow or deny (default)' },
      { flags: '--persistent', field: 'persistent', description: 'run from creation on, without guests' },
    ],
    deletable: true,
    example: 'selvage network-offering create --name open --egress-default allow',
  },
  {
    noun: 'public-ip-range',
    path: '/v1/public-ip-ranges',
    description: 'public addresses a zone may give out',
    columns: ['zone', 'prefix', 'gateway', 'first', 'last', 'free', 'used'],
    create: [
      zone,
      {
        flags: '--prefix <prefix>',
        field: 'prefix',
        description: 'prefix of the public network',
        required: true,
      },
      { flags: '--gateway <ip>', field: 'gateway', description: 'next hop to the outside', required: true },
      { flags: '--first <ip>', field: 'first', description: 'first address to give out' },
      { flags: '--last <ip>', field: 'last', description: 'last address to give out' },
    ],
    deletable: true,
    example:
      'selvage public-ip-range create --prefix 198.51.100.0/24 --gateway 198.51.100.1 --first 198.51.100.10 --last 198.51.100.250',
  },
  {
    noun: 'public-ip',
    path: '/v1/public-ips',
    description: 'a public address of a network',
    columns: ['address', 'network', 'sourceNat', 'usedBy'],
    create: [
      network,
      {
        flags: '--address <ip>',
        field: 'address',
        description: 'a certain address (default: the lowest free one)',
      },
    ],
    deletable: true,
    example: 'selvage public-ip create --network web',
  },
  {
    noun: 'network',
    path: '/v1/networks',
    description: 'an isolated network behind its own router',
    columns: ['name', 'prefix', 'state', 'sourceNatAddress', 'router', 'standby', 'offering'],
    create: [
      name,
      zone,
      {
        flags: '--offering <offering>',
        field: 'offering',
        description: 'isolated (default), isolated-egress-allow, isolated-persistent or your own',
        reference: '/v1/network-offerings',
      },
      {
        flags: '--prefix <prefix>',
        field: 'prefix',
        description: "addresses of its guests (default: the zone's guest prefix)",
      },
      { flags: '--domain <domain>', field: 'domain', description: 'domain of its guests' },
      { flags: '--mtu <bytes>', field: 'mtu', description: 'MTU (default 1450)', parse: parseInteger },
      {
        flags: '--redundant [boolean]',
        field: 'redundant',
        description: 'a second router stands by and takes over should the first die',
        parse: parseBoolean,
        updatable: true,
      },
      account,
    ],
    deletable: true,
    example: 'selvage network create --name web --prefix 10.1.1.0/24',
  },
  {
    noun: 'instance',
    path: '/v1/instances',
    description: 'a guest machine',
    columns: ['name', 'state', 'address', 'network', 'host'],
    create: [
      name,
      network,
      {
        flags: '--address <ip>',
        field: 'address',
        description: 'a certain address (default: the lowest free one)',
      },
      { flags: '--hostname <name>', field: 'hostname', description: 'host name (default: from the name)' },
      {
        flags: '--user-data <text|@file>',
        field: 'userData',
        description: 'user data, as text or @file',
        parse: parseUserData,
      },
      {
        flags: '--public-key <text|@file>',
        field: 'publicKeys',
        description: 'SSH public key; may be given several times',
        repeated: true,
        parse: parsePublicKey,
      },
      {
        flags: '--meta <key=value>',
        field: 'metaData',
        description: 'meta data; may be given several times',
        repeated: true,
        parse: parsePair,
        combine: (pairs) => Object.fromEntries(pairs as [string, string][]),
      },
      {
        flags: '--generate-password',
        field: 'generatePassword',
        description: 'make a one-time password, shown once',
      },
      account,
    ],
    deletable: true,
    example: 'selvage instance create --name web-1 --network web --public-key @~/.ssh/id_ed25519.pub',
  },
  {
    noun: 'port',
    path: '/v1/ports',
    description: 'an interface of an instance or router',
    columns: ['network', 'role', 'instance', 'router', 'mac', 'address'],
  },
  {
    noun: 'router',
    path: '/v1/routers',
    description: 'a virtual router',
    columns: ['network', 'host', 'role', 'state', 'generation', 'appliedGeneration', 'version', 'needs'],
  },
  {
    noun: 'router-bundle',
    path: '/v1/router-bundles',
    description: 'a program of routers, one signed file',
    columns: ['version', 'checksum', 'keyId', 'size', 'default', 'routers', 'createdAt'],
    create: [
      {
        flags: '--file <path>',
        field: 'content',
        description: 'the signed file that "npm run bundle" makes',
        required: true,
        parse: (path) => readFileSync(path).toString('base64'),
      },
      {
        flags: '--default',
        field: 'default',
        description: 'what routers are to run: new ones get it, others need a patch to it',
        updatable: true,
      },
    ],
    deletable: true,
    example: 'selvage router-bundle create --file build/router.mjs --default',
  },
  {
    noun: 'firewall-rule',
    path: '/v1/firewall-rules',
    description: 'opens a public IP to the outside',
    columns: ['publicIp', 'protocol', 'ports', 'icmp', 'sources'],
    create: [
      publicIp,
      {
        flags: '--protocol <protocol>',
        field: 'protocol',
        description: 'tcp, udp, icmp or all',
        required: true,
      },
      ports,
      icmp,
      sources,
    ],
    deletable: true,
    example: 'selvage firewall-rule create --public-ip 198.51.100.10 --protocol tcp --ports 80',
  },
  {
    noun: 'egress-rule',
    path: '/v1/egress-rules',
    description: "an exception to a network's egress default",
    columns: ['network', 'protocol', 'ports', 'icmp', 'sources', 'destinations'],
    create: [
      network,
      {
        flags: '--protocol <protocol>',
        field: 'protocol',
        description: 'tcp, udp, icmp or all',
        required: true,
      },
      ports,
      icmp,
      sources,
      {
        flags: '--destination <prefix>',
        field: 'destinations',
        description: 'to whom: a prefix; may be given several times',
        repeated: true,
      },
    ],
    deletable: true,
    example: 'selvage egress-rule create --network web --protocol tcp --ports 443',
  },
  {
    noun: 'port-forward',
    path: '/v1/port-forwards',
    description: 'ports of a public IP to an instance',
    columns: ['publicIp', 'protocol', 'publicPorts', 'instance', 'guestPorts'],
    create: [
      publicIp,
      { flags: '--protocol <protocol>', field: 'protocol', description: 'tcp or udp', required: true },
      {
        flags: '--public-ports <range>',
        field: 'publicPorts',
        description: 'port or range on the public IP',
        required: true,
        parse: parsePorts,
      },
      instance,
      {
        flags: '--guest-ports <range>',
        field: 'guestPorts',
        description: 'port or range in the instance (default: the same)',
        parse: parsePorts,
      },
      {
        flags: '--open-firewall',
        field: 'openFirewall',
        description: 'also make the firewall rule that opens it to everyone',
      },
    ],
    deletable: true,
    example:
      'selvage port-forward create --public-ip 198.51.100.10 --protocol tcp --public-ports 2222 --instance web-1 --guest-ports 22 --open-firewall',
  },
  {
    noun: 'static-nat',
    path: '/v1/static-nats',
    description: 'a public IP for one instance, both ways',
    columns: ['publicIp', 'instance'],
    create: [publicIp, instance],
    deletable: true,
    example: 'selvage static-nat create --public-ip 198.51.100.11 --instance web-1',
  },
  {
    noun: 'load-balancer',
    path: '/v1/load-balancers',
    description: 'connections to a public port, spread over instances',
    columns: ['name', 'publicIp', 'port', 'protocol', 'algorithm', 'members'],
    create: [
      { ...name, updatable: true },
      publicIp,
      {
        flags: '--port <port>',
        field: 'port',
        description: 'port on the public IP',
        required: true,
        parse: parseInteger,
      },
      { flags: '--protocol <protocol>', field: 'protocol', description: 'tcp (default) or http' },
      {
        flags: '--algorithm <name>',
        field: 'algorithm',
        description: 'roundrobin (default), leastconn or source',
        updatable: true,
      },
      {
        flags: '--member <instance:port>',
        field: 'members',
        description: 'instance and its port; may be given several times',
        repeated: true,
        parse: parseMember,
        updatable: true,
      },
    ],
    deletable: true,
    example:
      'selvage load-balancer create --name www --public-ip 198.51.100.10 --port 80 --member web-1:8080 --member web-2:8080',
  },
  {
    noun: 'workflow',
    path: '/v1/workflows',
    description: 'work in several steps, such as the replacement of a router',
    columns: ['type', 'status', 'step', 'router', 'successor', 'createdAt'],
  },
  {
    noun: 'operation',
    path: '/v1/operations',
    description: 'work that follows a request',
    columns: ['type', 'resource', 'state', 'createdAt'],
  },
];
