import { createSocket } from 'node:dgram';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  encodeRelease,
  type Lease4,
  parseLeases,
  parseServerDuid,
  planChange,
  type RenderedFiles,
  renderLeases,
  setupDirectories,
  staleLeases,
  withoutLeases,
} from 'dnsmasq-config';
import type { Problem } from 'documents';
import { prefixContains } from 'ip';
import type { Applied, ServiceOutlook } from '../feature.ts';
import type { System } from '../system.ts';
import { configurationVerdict } from './configuration-verdict.ts';
import { dnsmasqSuccession } from './dnsmasq-succession.ts';
import { type DnsmasqParts, dnsmasqFiles, isNeeded } from './dnsmasq-setup.ts';
import type { Program } from './program.ts';
import { makeReachable } from './reachable.ts';
import { replaceFile } from './replace-file.ts';
import type { Service } from './service.ts';
import { service } from './services.ts';
import { textDiff } from './text-diff.ts';

const DNSMASQ = '/usr/sbin/dnsmasq';
const DHCP_SERVER_PORT = 67;
/** Looks at the lease file for leases to give back, and ms between two of them. */
const RELEASE_ROUNDS = 20;
const RELEASE_PAUSE = 20;

const send = (message: Uint8Array, port: number, address: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.send(message, port, address, (error) => {
      socket.close();
      if (error === null) resolve();
      else reject(error);
    });
  });

/**
 * The one dnsmasq of a router. Features `dns` and `dhcp` each hand it their part; it runs once it has both. It takes
 * the way of least disturbance to what they say together: files that dnsmasq notices by itself, a SIGHUP, or a restart.
 */
export class Dnsmasq {
  readonly #system: System;
  readonly #service: Service;
  #parts: Partial<DnsmasqParts> = {};
  /** Parts seen in `check` and `diff`: they stand in for one that was not applied yet. */
  #seen: Partial<DnsmasqParts> = {};
  /** Files as we left them; null when somebody else may have touched them. */
  #files: RenderedFiles | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #privileged = false;
  /** Leases of another router, put into the lease file at the next start. */
  #inherited: readonly Lease4[] = [];

  constructor(system: System) {
    this.#system = system;
    this.#service = service(system, 'dnsmasq');
  }

  /** Brings dnsmasq to what this part says, together with the other part as it was last. */
  apply(part: Partial<DnsmasqParts>): Promise<Applied> {
    return this.#next(async () => {
      this.#parts = { ...this.#parts, ...part };
      const parts = this.#complete(this.#parts);
      if (parts === null) return { changes: [] };
      return { changes: await this.#bring(parts) };
    });
  }

  /** Compares files and process with what is wanted, and mends them. */
  heal(): Promise<Applied> {
    return this.#next(async () => {
      const parts = this.#complete(this.#parts);
      if (parts === null) return { changes: [] };
      this.#files = null;
      return { changes: await this.#bring(parts) };
    });
  }

  /** What `apply` would change: files, line by line, and what dnsmasq would be told. */
  async diff(part: Partial<DnsmasqParts>): Promise<string> {
    const parts = this.#imagine(part);
    if (parts === null) return '';
    const wanted = isNeeded(parts) ? dnsmasqFiles(this.#service.directory, parts) : [];
    const found = await this.#read();
    const { action, files, reasons } = planChange(found, wanted);
    if (action === 'none') return '';
    const textAt = (all: RenderedFiles, path: string): string | null =>
      all.find((file) => file.path === path)?.text ?? null;
    const text = [...files.write.map(({ path }) => path), ...files.remove]
      .map((path) =>
        textDiff(path.slice(this.#system.directory.length + 1), textAt(found, path), textAt(wanted, path)),
      )
      .join('');
    return `${text}dnsmasq: ${action} (${reasons.join('; ')})\n`;
  }

  /** What `apply` would do to dnsmasq; null as long as the other part is not known. */
  async outlook(part: Partial<DnsmasqParts>): Promise<ServiceOutlook | null> {
    const parts = this.#imagine(part);
    if (parts === null) return null;
    const text = await this.diff(part);
    const found = await this.#read();
    const runs = await this.#service.isRunning(this.#program(parts));
    const change = ((): ServiceOutlook['change'] => {
      if (!isNeeded(parts)) return runs ? 'stop' : 'none';
      if (!runs) return 'start';
      const { action } = planChange(found, dnsmasqFiles(this.#service.directory, parts));
      return action === 'rewrite' ? 'told' : action;
    })();
    return { name: 'dnsmasq', change, text };
  }

  /** Asks `dnsmasq --test` about the configuration. Throws ServiceError when it gives no verdict. */
  async check(part: Partial<DnsmasqParts>): Promise<Problem[]> {
    const parts = this.#imagine(part);
    if (parts === null || !isNeeded(parts)) return [];
    const directory = this.#service.directory;
    const next = dnsmasqFiles(directory, parts).find(({ kind }) => kind === 'conf');
    if (next === undefined || next.text === (await this.#system.files.read(next.path))) return [];
    const folders = setupDirectories(directory);
    for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true, mode: 0o755 });
    // Another daemon may be asking at the same time.
    const candidate = join(directory, `dnsmasq.conf.check.${process.pid}`);
    await this.#system.files.write(candidate, next.text);
    let words: string | null;
    try {
      // 1: a problem with the configuration (dnsmasq(8), EXIT CODES); asked to end, it says 5.
      words = await configurationVerdict(this.#system, DNSMASQ, ['--test', `--conf-file=${candidate}`], [1]);
    } finally {
      await this.#system.files.remove(candidate);
    }
    if (words === null) return [];
    return [
      {
        pointer: '',
        code: 'dnsmasq-refuses',
        message: `dnsmasq refuses the configuration: ${words}`,
        hint: 'Correct what it names; if nothing in the document explains it, the installed dnsmasq is another one than 2.90.',
      },
    ];
  }

  /** Leases that dnsmasq has given out. */
  async leases(): Promise<readonly Lease4[]> {
    const text = await this.#system.files.read(this.#leaseFile);
    return text === null ? [] : parseLeases(text).filter((lease) => lease.family === 4);
  }

  /** The lease file as it is; empty when there is none. */
  async leaseText(): Promise<string> {
    return (await this.#system.files.read(this.#leaseFile)) ?? '';
  }

  /**
   * Takes over the leases of the router that served before, and returns how many it lacked. dnsmasq reads them at its start
   * only, so it is restarted: once in its life, which is before it serves. Later ones it makes itself when clients renew,
   * as it is authoritative and every address is reserved.
   *
   * @param again - it does not serve and will be told of more: it may be restarted again
   */
  inherit(text: string, again = false): Promise<number> {
    return this.#next(async () => {
      const { files } = this.#system;
      const parts = this.#complete(this.#parts);
      if (parts === null || !isNeeded(parts) || parts.dhcp.ranges.length === 0) return 0;
      const mark = join(this.#service.directory, 'inherited');
      if (!again && (await files.read(mark)) !== null) return 0;
      const held = new Set((await this.leases()).map(({ address }) => address));
      this.#inherited = parseLeases(text)
        .filter((lease) => lease.family === 4)
        .filter(({ address }) => !held.has(address));
      const count = this.#inherited.length;
      if (count > 0) await this.#replace(parts);
      if (!again) await files.write(mark, `${count}\n`);
      return count;
    });
  }

  get #leaseFile(): string {
    return join(this.#service.directory, 'leases');
  }

  /** Holds what is to be done while it is done: `reload` or `restart`. Found at a start, the same is done again. */
  get #pendingFile(): string {
    return join(this.#service.directory, 'pending');
  }

  #next<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(task);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  #imagine(part: Partial<DnsmasqParts>): DnsmasqParts | null {
    this.#seen = { ...this.#seen, ...part };
    return this.#complete({ ...this.#seen, ...this.#parts, ...part });
  }

  #complete({ dns, dhcp }: Partial<DnsmasqParts>): DnsmasqParts | null {
    return dns === undefined || dhcp === undefined ? null : { dns, dhcp };
  }

  async #bring(parts: DnsmasqParts): Promise<string[]> {
    const { files } = this.#system;
    const before = this.#files ?? (await this.#read());
    if (!isNeeded(parts)) {
      const ended = await this.#service.stop(this.#program(parts));
      for (const { path } of before) await files.remove(path);
      this.#files = [];
      return ended ? ['dnsmasq is no longer needed: ended'] : [];
    }
    const wanted = dnsmasqFiles(this.#service.directory, parts);
    const plan = planChange(before, wanted);
    const left = await files.read(this.#pendingFile);
    const action =
      left === 'restart' || plan.action === 'restart'
        ? 'restart'
        : left === 'reload'
          ? 'reload'
          : plan.action;
    if (action === 'reload' || action === 'restart') await files.write(this.#pendingFile, action);
    this.#files = null;
    for (const { path, text } of plan.files.write) await replaceFile(path, text);
    for (const path of plan.files.remove) await files.remove(path);
    const program = this.#program(parts);
    const changes: string[] = [];
    if (action === 'restart' && before.length > 0) {
      await this.#replace(parts);
      changes.push(`dnsmasq restarted: ${plan.reasons.join('; ') || 'an earlier restart was not finished'}`);
    } else {
      const outcome = await this.#service.start(program);
      if (outcome === 'started') changes.push('dnsmasq started');
      else if (action === 'reload') {
        this.#service.signal('SIGHUP');
        changes.push(`dnsmasq reloaded: ${plan.reasons.join('; ') || 'an earlier reload was not finished'}`);
      } else if (action === 'rewrite') changes.push(`dnsmasq told: ${plan.reasons.join('; ')}`);
      const mayBeStale = action === 'reload' || outcome === 'adopted' || plan.releases.length > 0;
      if (mayBeStale && parts.dhcp.ranges.length > 0)
        void this.#next(() => this.#release(parts)).catch(() => undefined);
    }
    await files.remove(this.#pendingFile);
    this.#files = wanted;
    return changes;
  }

  /**
   * Gives back leases that stand against the reservations: the address of a guest that is gone would be refused to the
   * next one as long as the lease lives. dnsmasq frees a lease only when its client says so; we say it for the client.
   *
   * dnsmasq empties the lease file before it writes it anew, so one look may find nothing of what is there: it takes two
   * in a row to believe that nothing is left. Nobody waits for this; the next change of dnsmasq comes after it.
   */
  async #release({ dhcp }: DnsmasqParts): Promise<void> {
    for (let round = 0, clean = 0; round < RELEASE_ROUNDS && clean < 2; round += 1) {
      const stale = staleLeases([...(await this.leases())], dhcp.reservations);
      clean = stale.length === 0 ? clean + 1 : 0;
      for (const { mac, address } of stale) {
        const server = dhcp.servers.find(({ prefix }) => prefixContains(prefix, address))?.server;
        // Of a network that is gone altogether: nobody will ask for its addresses.
        if (server === undefined) continue;
        try {
          await send(encodeRelease({ clientMac: mac, address, server }), DHCP_SERVER_PORT, server);
        } catch {
          // The leg has not got its address yet; the next reload or start of ours tries again.
        }
      }
      await this.#system.clock.sleep(RELEASE_PAUSE);
    }
  }

  #replace(parts: DnsmasqParts): Promise<void> {
    return this.#service.replace(this.#program(parts), dnsmasqSuccession(this.#system));
  }

  /** What of our layout lies on disk. */
  async #read(): Promise<RenderedFiles> {
    const { files } = this.#system;
    const { directory } = this.#service;
    const folders = setupDirectories(directory);
    const kinds = [
      [`${directory}/dnsmasq.conf`, 'conf'],
      [`${folders.names}/names`, 'hostsdir'],
      [`${directory}/dhcp-options`, 'dhcp-optsfile'],
      ...(await files.list(folders.reservations))
        .filter((name) => !name.startsWith('.'))
        .map((name) => [`${folders.reservations}/${name}`, 'dhcp-hostsdir'] as const),
    ] as const;
    const found = await Promise.all(
      kinds.map(async ([path, kind]) => ({ path, kind, text: await files.read(path) })),
    );
    return found.flatMap(({ path, kind, text }) => (text === null ? [] : [{ path, kind, text }]));
  }

  #program(parts: DnsmasqParts): Program {
    const { directory } = this.#service;
    const configuration = `--conf-file=${directory}/dnsmasq.conf`;
    return {
      path: DNSMASQ,
      // Its privileges are a matter of where it runs, not of what it serves: they stay out of the file.
      args: () => [
        '--keep-in-foreground',
        configuration,
        `--user=${this.#privileged ? 'root' : 'dnsmasq'}`,
        '--group=nogroup',
      ],
      marks: [configuration],
      subject: parts.dns.subject,
      prepare: () => this.#prepare(parts),
      // It writes its pid file when all sockets are open and before it serves, whatever legs there are.
      ready: async () => (await this.#system.files.read(`${directory}/pid`)) !== null,
    };
  }

  async #prepare(parts: DnsmasqParts): Promise<void> {
    const { files, report } = this.#system;
    const { directory } = this.#service;
    const closed = await makeReachable(this.#system.directory, directory);
    if ((closed !== null) !== this.#privileged) {
      this.#privileged = closed !== null;
      if (closed !== null) {
        report({
          type: 'router.service-privileged',
          level: 'warning',
          subject: parts.dns.subject,
          message: `dnsmasq runs as root, because the user dnsmasq may not pass ${closed}: allow it (chmod o+x ${closed}), or keep the state elsewhere`,
        });
      }
    }
    for (const folder of Object.values(setupDirectories(directory))) {
      await mkdir(folder, { recursive: true, mode: 0o755 });
    }
    await files.remove(`${directory}/pid`);
    // What stands against the reservations is simply left out. A dnsmasq that still runs keeps the file it has open; the next
    // one has this one, so that they do not write into each other's.
    const text = await files.read(this.#leaseFile);
    const inherited = this.#inherited;
    this.#inherited = [];
    if (text === null && inherited.length === 0) return;
    const leases = [...parseLeases(text ?? ''), ...inherited];
    const stale = new Set<string>(staleLeases(leases, parts.dhcp.reservations).map(({ address }) => address));
    await replaceFile(
      this.#leaseFile,
      stale.size > 0 || inherited.length > 0
        ? renderLeases(withoutLeases(leases, stale), parseServerDuid(text ?? ''))
        : (text ?? ''),
    );
  }
}
