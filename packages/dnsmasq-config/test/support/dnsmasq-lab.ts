import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { DnsmasqConfig, PlannedChange, Release, RenderedFiles } from 'dnsmasq-config';
import { encodeRelease, parseLeases, type Lease, setupDirectories } from 'dnsmasq-config';
import { parseIp, parseIpv4, parseIpv4Prefix } from 'ip';

/** A router namespace with a real dnsmasq and a client namespace on one link, 10.1.1.0/24. */
export interface DnsmasqLab {
  readonly directory: string;
  readonly config: DnsmasqConfig;
  start(files: RenderedFiles): Promise<void>;
  stop(): Promise<void>;
  /** Carries a plan out, as a router would. */
  apply(plan: PlannedChange, files: RenderedFiles): Promise<void>;
  /** What a client with this MAC is given by udhcpc, or `null`. */
  lease(mac: string): { readonly ip: string; readonly hostname: string } | null;
  /** Options of the last lease that udhcpc has no name for, in hexadecimal. */
  options(): ReadonlyMap<number, string>;
  dig(...args: string[]): string;
  release(release: Release): Promise<void>;
  leases(): Lease[];
  leaseText(): string;
  isAlive(): boolean;
  signal(): Promise<void>;
  log(): string;
}

const SERVER = '10.1.1.1';
let count = 0;

export async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (holds()) return;
    await sleep(50);
  }
  throw new Error(`${what}: not within 5 s`);
}

export function dnsmasqLab(t: ExecutionContext): DnsmasqLab {
  count += 1;
  const router = `svt${process.pid}r${count}`;
  const client = `svt${process.pid}c${count}`;
  const directory = mkdtempSync(join(tmpdir(), 'svt-dnsmasq-'));
  let daemon: ChildProcess | null = null;
  let options: ReadonlyMap<number, string> = new Map();
  const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

  const stop = async (): Promise<void> => {
    const running = daemon;
    if (running === null) return;
    daemon = null;
    if (running.exitCode !== null || running.signalCode !== null) return;
    const gone = new Promise((resolve) => running.once('exit', resolve));
    running.kill('SIGTERM');
    await gone;
  };
  t.teardown(async () => {
    await stop();
    for (const name of [router, client]) spawnSync('ip', ['netns', 'del', name]);
    rmSync(directory, { recursive: true, force: true });
  });

  ip('netns', 'add', router);
  ip('netns', 'add', client);
  ip('-n', router, 'link', 'add', 'guest', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', client);
  ip('-n', router, 'addr', 'add', `${SERVER}/24`, 'dev', 'guest');
  ip('-n', router, 'link', 'set', 'lo', 'up');
  ip('-n', router, 'link', 'set', 'guest', 'up');
  ip('-n', client, 'link', 'set', 'eth0', 'up');

  const log = join(directory, 'log');
  const leaseFile = join(directory, 'leases');
  const script = join(directory, 'udhcpc');
  writeFileSync(
    script,
    '#!/bin/sh\n[ "$1" = bound ] && echo "bound ip=$ip hostname=$hostname" && env | grep "^opt"\nexit 0\n',
    {
      mode: 0o755,
    },
  );

  const config: DnsmasqConfig = {
    interfaces: ['guest'],
    exceptInterfaces: ['lo'],
    bind: 'interfaces',
    dns: { domain: 'net.example', localDomains: ['net.example'] },
    dhcp: {
      ranges: [{ kind: 'static4', prefix: parseIpv4Prefix('10.1.1.0/24')!, leaseTime: 'infinite' }],
      leaseFile,
      authoritative: true,
      noPing: true,
    },
    user: 'root',
    log: { facility: log, dhcp: true },
  };

  const put = (files: RenderedFiles): void => {
    for (const { path, text } of files) {
      mkdirSync(dirname(path), { recursive: true });
      const temporary = join(dirname(path), '.new');
      writeFileSync(temporary, text);
      renameSync(temporary, path);
    }
  };
  const readLog = (): string => {
    try {
      return readFileSync(log, 'utf8');
    } catch {
      return '';
    }
  };
  const dig = (...args: string[]): string =>
    spawnSync(
      'ip',
      ['netns', 'exec', router, 'dig', '+short', '+tries=1', '+time=2', `@${SERVER}`, ...args],
      { encoding: 'utf8' },
    ).stdout.trim();
  const lab: DnsmasqLab = {
    directory,
    config,
    async start(files) {
      const folders = setupDirectories(directory);
      mkdirSync(folders.names, { recursive: true });
      mkdirSync(folders.reservations, { recursive: true });
      put(files);
      const conf = join(directory, 'dnsmasq.conf');
      execFileSync('/usr/sbin/dnsmasq', ['--test', `--conf-file=${conf}`], { stdio: 'pipe' });
      const before = readLog().length;
      daemon = spawn(
        'ip',
        ['netns', 'exec', router, '/usr/sbin/dnsmasq', '--keep-in-foreground', `--conf-file=${conf}`],
        {
          stdio: 'ignore',
        },
      );
      await eventually('dnsmasq starts', () => readLog().slice(before).includes('DHCP, static leases only'));
      // It logs its ranges before it reads its hosts.
      await sleep(150);
    },
    stop,
    async apply({ action, files: { write, remove } }, files) {
      if (action === 'restart') await stop();
      put(write);
      for (const path of remove) rmSync(path);
      if (action === 'reload') await lab.signal();
      if (action === 'restart') await lab.start(files);
      await sleep(150);
    },
    lease(mac) {
      ip('-n', client, 'link', 'set', 'eth0', 'down');
      ip('-n', client, 'link', 'set', 'eth0', 'address', mac);
      ip('-n', client, 'link', 'set', 'eth0', 'up');
      const { stdout } = spawnSync(
        'ip',
        [
          'netns',
          'exec',
          client,
          'busybox',
          'udhcpc',
          '-i',
          'eth0',
          '-f',
          '-n',
          '-q',
          '-t',
          '2',
          '-T',
          '1',
          '-s',
          script,
        ],
        { encoding: 'utf8', timeout: 10_000 },
      );
      options = new Map(
        [...stdout.matchAll(/^opt([0-9]+)=(.*)$/gm)].map(([, code, hex]) => [Number(code), hex ?? '']),
      );
      const found = /^bound ip=(\S+) hostname=(\S*)$/m.exec(stdout);
      return found === null ? null : { ip: found[1] ?? '', hostname: found[2] ?? '' };
    },
    options: () => options,
    dig,
    async release(release) {
      // Any UDP socket in the router's namespace does: no raw socket, no binding to a device.
      const payload = Buffer.from(encodeRelease(release)).toString('base64');
      const program = `const s = require('node:dgram').createSocket('udp4'); s.send(Buffer.from(process.argv[1], 'base64'), 67, process.argv[2], () => s.close());`;
      execFileSync('ip', ['netns', 'exec', router, process.execPath, '-e', program, payload, release.server]);
      await sleep(150);
    },
    leases: () => parseLeases(lab.leaseText()),
    leaseText: () => {
      try {
        return readFileSync(leaseFile, 'utf8');
      } catch {
        return '';
      }
    },
    isAlive: () => daemon !== null && daemon.exitCode === null && daemon.signalCode === null,
    async signal() {
      daemon?.kill('SIGHUP');
      await sleep(250);
    },
    log: readLog,
  };
  t.is(parseIp(SERVER), parseIpv4(SERVER));
  return lab;
}
