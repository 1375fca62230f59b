/**
 * What a pair of routers is elsewhere: two machines that nat, keepalived between them with adverts each second, no state
 * passed on. In namespaces of its own, with the same places for the same load.
 *
 *     internet ── public bridge ── router 1, router 2 (VRRP) ── guest bridge ── client, server 1, server 2
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { namespaces } from 'node-netlink';
import { endProcessesIn } from '../../host/machines/namespace/processes.ts';
import { SERVICE_PORT, type TrafficMap } from '../traffic/traffic-map.ts';

const IP = '/usr/sbin/ip';
const GUEST = '10.9.0';
const PUBLIC = '203.0.113';
const INTERNET = '192.0.2.1';
const BALANCED_PORT = 7080;
const FORWARDED_PORT = 8001;
/** Priorities decide at the start only: who has the addresses keeps them. */
const ROUTERS = [1, 2] as const;

const ruleset = `
table ip pair {
  chain in {
    type nat hook prerouting priority dstnat;
    ip daddr ${PUBLIC}.12 dnat to ${GUEST}.12
    ip daddr ${PUBLIC}.11 tcp dport ${FORWARDED_PORT} dnat to ${GUEST}.13:${SERVICE_PORT}
    ip daddr ${PUBLIC}.10 tcp dport ${BALANCED_PORT} dnat to ${GUEST}.13:${SERVICE_PORT}
  }
  chain out {
    type nat hook postrouting priority srcnat;
    oifname public ip saddr ${GUEST}.12 snat to ${PUBLIC}.12
    oifname public ip saddr ${GUEST}.0/24 snat to ${PUBLIC}.10
  }
  chain through {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state invalid drop
    iifname guest accept
    iifname public ct status dnat accept
  }
}
`;

const configuration = (own: number, seconds: number): string => `
global_defs {
  router_id router${own}
  vrrp_garp_master_delay 1
  enable_script_security
}
vrrp_sync_group both { group { guest public } }
${(['guest', 'public'] as const)
  .map((leg) => {
    const net = leg === 'guest' ? GUEST : PUBLIC;
    const addresses =
      leg === 'guest' ? [`${GUEST}.1/24`] : [10, 11, 12].map((last) => `${PUBLIC}.${last}/24`);
    return `vrrp_instance ${leg} {
  state BACKUP
  nopreempt
  interface ${leg}
  virtual_router_id ${leg === 'guest' ? 51 : 52}
  priority ${100 + own}
  advert_int ${seconds}
  unicast_src_ip ${net}.${own + 1}
  unicast_peer { ${net}.${own === 1 ? 3 : 2} }
  virtual_ipaddress {
${addresses.map((address) => `    ${address} dev ${leg}`).join('\n')}
  }
}`;
  })
  .join('\n')}
`;

const ip = (...args: readonly string[]): void => {
  const { status, stderr } = spawnSync(IP, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr.trim()}`);
};

export class KeepalivedPair {
  readonly #prefix: string;
  readonly #directory: string;

  private constructor(prefix: string) {
    this.#prefix = prefix;
    this.#directory = mkdtempSync(join(tmpdir(), `${prefix}-`));
  }

  /** Throws when keepalived is not there, or nobody becomes master. */
  static async start(prefix: string): Promise<KeepalivedPair> {
    const pair = new KeepalivedPair(prefix);
    try {
      pair.#lay();
      for (const own of ROUTERS) pair.#startRouter(own);
      await pair.#master();
      return pair;
    } catch (error) {
      await pair.remove();
      throw error;
    }
  }

  get map(): TrafficMap {
    return {
      label: 'keepalived',
      internet: { namespace: this.#name('net'), address: INTERNET },
      client: { namespace: this.#name('client'), address: `${GUEST}.11` },
      servers: [this.#name('server1'), this.#name('server2')],
      staticNat: `${PUBLIC}.12`,
      portForwards: [{ address: `${PUBLIC}.11`, port: FORWARDED_PORT }],
      // Not ended in the router: what a balancer would lose is not held against it.
      loadBalancer: { address: `${PUBLIC}.10`, port: BALANCED_PORT },
      router: `${GUEST}.1`,
      names: [],
      outside: { domain: 'example.com', address: INTERNET },
    };
  }

  /** Takes the machine away that has the addresses: its devices at once, then its processes and itself. */
  async killMaster(): Promise<() => Promise<void>> {
    const own = await this.#master();
    const name = this.#router(own);
    ip('-n', this.#name('fabric'), 'link', 'delete', `g${own}`);
    ip('-n', this.#name('fabric'), 'link', 'delete', `p${own}`);
    // Only then: killed one by one, they would still say that they go, and the other would not have to wait.
    await endProcessesIn(name, 0);
    namespaces.remove(name);
    return async () => {
      await this.#master();
      this.#startRouter(own);
      // Until it hears the adverts of the other, and is its standby.
      await sleep(3000);
    };
  }

  async remove(): Promise<void> {
    const own = namespaces.list().filter((name) => name.startsWith(`${this.#prefix}-`));
    for (const name of own) {
      await endProcessesIn(name, 0);
      namespaces.remove(name);
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #name(machine: string): string {
    return `${this.#prefix}-${machine}`;
  }

  #router(own: number): string {
    return this.#name(`router${own}`);
  }

  #plug(machine: string, device: string, port: string, bridge: string, addresses: readonly string[]): void {
    const fabric = this.#name('fabric');
    const name = this.#name(machine);
    ip('-n', fabric, 'link', 'add', port, 'type', 'veth', 'peer', 'name', device, 'netns', name);
    ip('-n', fabric, 'link', 'set', port, 'master', bridge, 'up');
    for (const address of addresses) ip('-n', name, 'address', 'add', address, 'dev', device);
    ip('-n', name, 'link', 'set', device, 'up');
  }

  #lay(): void {
    const fabric = this.#name('fabric');
    namespaces.create(fabric, { loopbackUp: true });
    for (const bridge of ['guests', 'publics'])
      ip('-n', fabric, 'link', 'add', bridge, 'up', 'type', 'bridge', 'mcast_snooping', '0');
    for (const machine of ['net', 'client', 'server1', 'server2'])
      namespaces.create(this.#name(machine), { loopbackUp: true });
    this.#plug('net', 'eth0', 'net', 'publics', [`${PUBLIC}.1/24`]);
    ip('-n', this.#name('net'), 'address', 'add', `${INTERNET}/32`, 'dev', 'lo');
    for (const [index, machine] of ['client', 'server1', 'server2'].entries()) {
      this.#plug(machine, 'eth0', machine, 'guests', [`${GUEST}.${11 + index}/24`]);
      ip('-n', this.#name(machine), 'route', 'add', 'default', 'via', `${GUEST}.1`);
    }
  }

  #startRouter(own: number): void {
    const name = this.#router(own);
    namespaces.create(name, { loopbackUp: true });
    this.#plug(`router${own}`, 'guest', `g${own}`, 'guests', [`${GUEST}.${own + 1}/24`]);
    this.#plug(`router${own}`, 'public', `p${own}`, 'publics', [`${PUBLIC}.${own + 1}/24`]);
    ip('-n', name, 'route', 'add', 'default', 'via', `${PUBLIC}.1`);
    namespaces.sysctl(name, { 'net.ipv4.ip_forward': 1 });
    const rules = spawnSync(IP, ['netns', 'exec', name, '/usr/sbin/nft', '-f', '-'], {
      input: ruleset,
      encoding: 'utf8',
    });
    if (rules.status !== 0) throw new Error(`nft: ${rules.stderr}`);
    const file = join(this.#directory, `router${own}`);
    // What a killed one left: by the time it is read the numbers may be those of others, and it would not start.
    for (const left of ['pid', 'vrrp.pid']) rmSync(`${file}.${left}`, { force: true });
    writeFileSync(`${file}.conf`, configuration(own, 1));
    spawn(
      IP,
      ['netns', 'exec', name, '/usr/sbin/keepalived', '--dont-fork', '--vrrp', '--log-console'].concat([
        '--use-file',
        `${file}.conf`,
        '--pid',
        `${file}.pid`,
        '--vrrp_pid',
        `${file}.vrrp.pid`,
      ]),
      { stdio: 'ignore' },
    ).on('error', () => {});
  }

  /** Whoever has the guests' gateway. */
  async #master(): Promise<number> {
    for (let tries = 0; tries < 300; tries += 1) {
      for (const own of ROUTERS) {
        if (!namespaces.exists(this.#router(own))) continue;
        const { stdout } = spawnSync(
          IP,
          ['-n', this.#router(own), '-br', 'address', 'show', 'dev', 'guest'],
          {
            encoding: 'utf8',
          },
        );
        if (stdout.includes(`${GUEST}.1/24`)) return own;
      }
      await sleep(50);
    }
    throw new Error('No keepalived has become master within 15 s');
  }
}
