/**
 * A network whose router is handed over: guests, an outside, and as many routers as a test wants, each a real daemon in a
 * namespace of its own. Router ports never learn and flood only where they are active; MACs are placed by hand, as the host
 * agent does it.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Handover, HandoverLink, RouterDocument, RouterEvent, RouterStatus } from 'documents';
import { processStartTime } from 'node-netlink';
import type { TrafficMap } from '../../../bench/traffic/traffic-map.ts';
import type { HandoverState, TakenOver } from '../../handover/state.ts';
import type { Sessions } from '../../handover/sessions.ts';
import { BALANCED_PORT, chainDocument, FORWARDED_PORT, GUESTS, legId, routerId } from './chain-document.ts';

export { chainDocument };

const daemonProgram = fileURLToPath(new URL('../../main.ts', import.meta.url));

const LEGS = [
  { device: 'guest0', mac: '02:00:0a:01:01:01', bridge: 'brg', mtu: 1450 },
  { device: 'public0', mac: '02:00:c6:33:64:0a', bridge: 'brp', mtu: 1500 },
] as const;

const ip = (...args: string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

interface WireEnd {
  readonly netns: string;
  readonly device: string;
  readonly mac: string;
}

/** A veth pair between two namespaces. */
const wire = (one: WireEnd, other: WireEnd, mtu: number): void => {
  const named = ({ device, mac }: WireEnd): string => `name ${device} address ${mac} mtu ${mtu}`;
  const command = `-n ${one.netns} link add ${named(one)} type veth peer ${named(other)} netns ${other.netns}`;
  ip(...command.split(' '));
};

export interface Answer<Body> {
  readonly status: number;
  readonly body: Body;
}

/** One router of the chain. */
export class ChainRouter {
  readonly ordinal: number;
  readonly netns: string;
  readonly directory = mkdtempSync(join(tmpdir(), 'svt-'));
  #daemon: ChildProcess | null = null;
  #generation = 0;
  handover: Handover | undefined;

  constructor(ordinal: number, netns: string) {
    this.ordinal = ordinal;
    this.netns = netns;
  }

  async start(): Promise<void> {
    const child = spawn(
      'ip',
      ['netns', 'exec', this.netns, process.execPath, daemonProgram, '--state', this.directory],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    this.#daemon = child;
    for (let attempt = 0; attempt < 1000; attempt += 1) {
      if (child.exitCode !== null) throw new Error(`the router daemon ended with ${child.exitCode}`);
      if ((await this.call('GET', '/v1/status').catch(() => null)) !== null) return;
      await sleep(10);
    }
    throw new Error('the router daemon does not listen');
  }

  call<Body = unknown>(method: string, path: string, body?: unknown): Promise<Answer<Body>> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: join(this.directory, 'control.sock'), method, path }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: JSON.parse(Buffer.concat(chunks).toString()) as Body,
          }),
        );
      });
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** Puts a document in force. */
  async put(document: Partial<RouterDocument>, handover?: Handover): Promise<void> {
    this.#generation += 1;
    this.handover = handover;
    const whole = chainDocument(this.ordinal, { ...document, generation: this.#generation });
    const { status, body } = await this.call<RouterStatus>('PUT', '/v1/document', {
      ...whole,
      ...(handover === undefined ? {} : { handover }),
    });
    if (status !== 200) throw new Error(`not taken: ${JSON.stringify(body)}`);
    this.#assertApplied(body);
  }

  /** Changes the router's place in the chain, and nothing else. */
  async place(handover: Handover | null): Promise<void> {
    this.handover = handover ?? undefined;
    const baseGeneration = this.#generation;
    this.#generation += 1;
    const { status, body } = await this.call<RouterStatus>('PATCH', '/v1/document', {
      schemaVersion: 1,
      id: routerId(this.ordinal),
      baseGeneration,
      generation: this.#generation,
      handover,
      collections: {},
    });
    if (status !== 200) throw new Error(`not taken: ${JSON.stringify(body)}`);
    this.#assertApplied(body);
  }

  #assertApplied(status: RouterStatus): void {
    if (status.appliedGeneration !== this.#generation) {
      throw new Error(`not in force: ${JSON.stringify(status.conditions)}`);
    }
  }

  async sessions(): Promise<Sessions> {
    return (await this.call<Sessions>('GET', '/v1/handover/sessions')).body;
  }

  async state(): Promise<HandoverState> {
    return (await this.call<HandoverState>('GET', '/v1/handover/state')).body;
  }

  /** What the daemon says others have changed. */
  async drifts(): Promise<readonly string[]> {
    const { body } = await this.call<{ readonly items: readonly RouterEvent[] }>('GET', '/v1/events?wait=0');
    return body.items.filter(({ type }) => type === 'router.drift-healed').map(({ message }) => message);
  }

  async diff(): Promise<string> {
    return (await this.call<{ readonly text: string }>('POST', '/v1/diff')).body.text;
  }

  run(program: string, ...args: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.netns, program, ...args], { encoding: 'utf8' });
  }

  nft(...args: string[]): string {
    return this.run('/usr/sbin/nft', ...args);
  }

  /** Keeps the daemon from mending anything, or lets it go on. */
  hold(held: boolean): void {
    this.#daemon?.kill(held ? 'SIGSTOP' : 'SIGCONT');
  }

  /** Ends the daemon at once, as the kernel would; all it had started goes on. */
  async kill(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null) return;
    const ended = new Promise((resolve) => daemon.once('exit', resolve));
    daemon.kill('SIGKILL');
    await ended;
  }

  /** Ends the daemon and what it had started; forgets its directory. */
  async end(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon !== null && daemon.exitCode === null && daemon.signalCode === null) {
      const ended = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGCONT');
      daemon.kill('SIGTERM');
      await ended;
    }
    for (const service of ['dnsmasq', 'haproxy']) {
      try {
        const record = JSON.parse(
          readFileSync(join(this.directory, service, 'process.json'), 'utf8'),
        ) as Readonly<Record<'pid' | 'startTime', number>>;
        if (processStartTime(record.pid) !== record.startTime) continue;
        // Leaders of their own sessions: the group holds their workers and nobody else.
        spawnSync('/usr/bin/kill', ['-KILL', '--', `-${record.pid}`]);
      } catch {
        // It never ran.
      }
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

let labs = 0;

export class ChainLab {
  readonly base: string;
  readonly fabric: string;
  readonly outside: string;
  readonly #names: string[] = [];
  readonly #routers: ChainRouter[] = [];
  readonly #servers: ChildProcess[] = [];

  constructor() {
    labs += 1;
    this.base = `svt${process.pid}h${labs}`;
    this.fabric = this.#namespace('f');
    this.outside = this.#namespace('o');
    for (const bridge of ['brg', 'brp']) {
      ip('-n', this.fabric, 'link', 'add', bridge, 'up', 'type', 'bridge', 'mcast_snooping', '0');
    }
    for (const { name, address, mac } of GUESTS) {
      const netns = this.#namespace(name);
      this.#plug(netns, 'eth0', mac, 'brg', `p-${name}`, 1450);
      ip('-n', netns, 'address', 'add', `${address}/24`, 'dev', 'eth0');
      ip('-n', netns, 'link', 'set', 'eth0', 'up');
      ip('-n', netns, 'route', 'add', 'default', 'via', '10.1.1.1');
    }
    this.#plug(this.outside, 'eth0', '02:00:c6:33:64:01', 'brp', 'p-out', 1500);
    ip('-n', this.outside, 'address', 'add', '198.51.100.1/24', 'dev', 'eth0');
    ip('-n', this.outside, 'link', 'set', 'eth0', 'up');
  }

  /** Who talks to whom in this network. */
  get map(): TrafficMap {
    return {
      label: 'chain',
      internet: { namespace: this.outside, address: '198.51.100.1' },
      client: { namespace: this.guest('c'), address: '10.1.1.20' },
      servers: [this.guest('s'), this.guest('u')],
      staticNat: '198.51.100.11',
      portForwards: [0, 1].map((index) => ({ address: '198.51.100.12', port: FORWARDED_PORT + index })),
      loadBalancer: { address: '198.51.100.10', port: BALANCED_PORT },
      router: '10.1.1.1',
      names: GUESTS.map(({ name, address }) => ({ name: `guest-${name}.cloud.internal`, address })),
      outside: { domain: 'example.com', address: '198.51.100.1' },
    };
  }

  guest(name: (typeof GUESTS)[number]['name']): string {
    return `${this.base}${name}`;
  }

  /** A router of the next place in the chain; its ports get nothing until it is flipped to. */
  async router(): Promise<ChainRouter> {
    const ordinal = this.#routers.length + 1;
    const netns = this.#namespace(`r${ordinal}`);
    for (const { device, mac, bridge, mtu } of LEGS) {
      const port = this.#port(ordinal, device);
      this.#plug(netns, device, mac, bridge, port, mtu, false);
    }
    const router = new ChainRouter(ordinal, netns);
    this.#routers.push(router);
    await router.start();
    return router;
  }

  /** Plugs the links between two routers of the chain; returns how each is to see them. */
  join(
    older: ChainRouter,
    newer: ChainRouter,
  ): { readonly older: HandoverLink[]; readonly newer: HandoverLink[] } {
    const seen = { older: [] as HandoverLink[], newer: [] as HandoverLink[] };
    for (const [index, { device, mtu }] of LEGS.entries()) {
      const pair = [older.ordinal, newer.ordinal]
        .map((ordinal) => String(ordinal).padStart(2, '0'))
        .join(':');
      const down = { device: `o${older.ordinal}-${device}`, mac: `02:00:${pair}:00:0${index}` };
      const up = { device: `n${newer.ordinal}-${device}`, mac: `02:00:${pair}:01:0${index}` };
      wire({ netns: older.netns, ...up }, { netns: newer.netns, ...down }, mtu);
      const network = `169.254.${newer.ordinal}.${older.ordinal * 8 + index * 2}`;
      const peer = `169.254.${newer.ordinal}.${older.ordinal * 8 + index * 2 + 1}`;
      const link = `lnk-${older.ordinal}-${newer.ordinal}-${index}`;
      // How the newer one sees it, and the older one.
      seen.older.push({
        id: link,
        leg: legId(newer.ordinal, device),
        ...down,
        address: `${peer}/31`,
        peer: network,
        peerMac: up.mac,
      });
      seen.newer.push({
        id: link,
        leg: legId(older.ordinal, device),
        ...up,
        address: `${network}/31`,
        peer,
        peerMac: down.mac,
      });
    }
    return seen;
  }

  /** Lets the outside answer for every name below example.com. */
  serveNames(): void {
    const options = [
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--no-resolv',
      '--no-hosts',
      '--pid-file=',
    ];
    const where = [
      '--bind-interfaces',
      '--listen-address=198.51.100.1',
      '--address=/example.com/198.51.100.1',
    ];
    this.#servers.push(
      spawn('ip', ['netns', 'exec', this.outside, '/usr/sbin/dnsmasq', '--user=root', ...options, ...where], {
        stdio: 'ignore',
      }),
    );
  }

  /** Whether an echo request of a guest is answered. */
  pings(from: (typeof GUESTS)[number]['name'], address: string): boolean {
    return (
      spawnSync('ip', ['netns', 'exec', this.guest(from), 'ping', '-n', '-c1', '-W1', address]).status === 0
    );
  }

  /** Moves the MACs to a router: one change of the forwarding table, then flooding on there and off elsewhere. */
  flip(to: ChainRouter): void {
    const moves = LEGS.map(
      ({ device, mac }) => `fdb replace ${mac} dev ${this.#port(to.ordinal, device)} master static`,
    );
    const flood = (router: ChainRouter, state: 'on' | 'off'): string[] =>
      LEGS.map(
        ({ device }) =>
          `link set dev ${this.#port(router.ordinal, device)} flood ${state} bcast_flood ${state} mcast_flood ${state}`,
      );
    this.#bridge([
      ...moves,
      ...flood(to, 'on'),
      ...this.#routers
        .filter((one) => one !== to && this.#names.includes(one.netns))
        .flatMap((one) => flood(one, 'off')),
    ]);
  }

  /** Moves one leg only. */
  flipLeg(to: ChainRouter, leg: 0 | 1): void {
    const { device, mac } = LEGS[leg];
    this.#bridge([`fdb replace ${mac} dev ${this.#port(to.ordinal, device)} master static`]);
  }

  /** Carries the state of one router over to another, as the host agent does it. */
  async copy(from: ChainRouter, to: ChainRouter): Promise<TakenOver> {
    const state = await from.state();
    const { status, body } = await to.call<TakenOver>('PUT', '/v1/handover/state', state);
    if (status !== 200) throw new Error(`state not taken: ${JSON.stringify(body)}`);
    return body;
  }

  /** Ends a router for good, its ports and links with it. */
  async retire(router: ChainRouter): Promise<void> {
    await router.end();
    for (const link of [...(router.handover?.older ?? []), ...(router.handover?.newer ?? [])]) {
      spawnSync('ip', ['-n', router.netns, 'link', 'del', link.device]);
    }
    for (const { device } of LEGS) {
      spawnSync('ip', ['-n', this.fabric, 'link', 'del', this.#port(router.ordinal, device)]);
    }
    spawnSync('ip', ['netns', 'del', router.netns]);
    this.#names.splice(this.#names.indexOf(router.netns), 1);
  }

  async close(): Promise<void> {
    await Promise.all(this.#routers.map((router) => router.end()));
    for (const server of this.#servers) server.kill('SIGKILL');
    for (const name of this.#names.splice(0)) spawnSync('ip', ['netns', 'del', name]);
  }

  #namespace(suffix: string): string {
    const name = `${this.base}${suffix}`;
    ip('netns', 'add', name);
    this.#names.push(name);
    ip('-n', name, 'link', 'set', 'lo', 'up');
    return name;
  }

  #port(ordinal: number, device: string): string {
    return `p${ordinal}-${device}`;
  }

  #plug(
    netns: string,
    device: string,
    mac: string,
    bridge: string,
    port: string,
    mtu: number,
    learning = true,
  ): void {
    wire({ netns: this.fabric, device: port, mac: `fe${mac.slice(2)}` }, { netns, device, mac }, mtu);
    ip('-n', this.fabric, 'link', 'set', port, 'master', bridge);
    if (!learning) {
      this.#bridge([`link set dev ${port} learning off flood off bcast_flood off mcast_flood off`]);
    }
    ip('-n', this.fabric, 'link', 'set', port, 'up');
  }

  #bridge(lines: readonly string[]): void {
    execFileSync('bridge', ['-n', this.fabric, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }
}
