/** A guest in a network namespace: its devices come up and a real DHCP client configures each, as in any machine. */
import { type FSWatcher, mkdirSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Machine, MachineStatus, SegmentPort } from 'documents';
import { links, openRouteSocket } from 'node-netlink';
import { namespaceEtc } from '../../names.ts';
import type { MachineListener } from '../machine.ts';
import { parseGuestLease } from './lease.ts';
import { SupervisedProcess } from './supervised-process.ts';

const script = fileURLToPath(new URL('udhcpc.script', import.meta.url));

export interface GuestPlace {
  readonly namespace: string;
  /** The folder the driver keeps of this machine. */
  readonly directory: string;
}

const removeLeases = (directory: string): void => {
  for (const name of readdirSync(directory)) if (name.endsWith('.lease')) rmSync(join(directory, name));
};

/** A guest that is switched on. */
export class Guest {
  readonly #machine: Machine;
  readonly #place: GuestPlace;
  readonly #listener: MachineListener;
  readonly #clients = new Map<string, SupervisedProcess>();
  readonly #leases = new Map<string, string>();
  #primary: string | null = null;
  #watcher: FSWatcher | null = null;
  #failure: string | null = null;

  constructor(machine: Machine, place: GuestPlace, listener: MachineListener) {
    this.#machine = machine;
    this.#place = place;
    this.#listener = listener;
  }

  /** Brings the devices up and starts their DHCP clients, or adopts those that run. Called again for ports that are new. */
  run(ports: readonly SegmentPort[], fresh: boolean): void {
    const { namespace, directory } = this.#place;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // Leases of an earlier life of the machine mean nothing in a new namespace.
    if (fresh && this.#clients.size === 0) removeLeases(directory);
    this.#watcher ??= this.#watch();
    using route = openRouteSocket({ netns: namespace });
    const devices = ports.map((port) => links.set({ name: port.machineDevice, mtu: port.mtu, up: true }));
    const [loopback, ...errors] = route.batch([links.set({ name: 'lo', up: true }), ...devices]);
    const refused = [loopback, ...errors].find((error) => error !== null && error !== undefined);
    this.#failure = refused === undefined || refused === null ? null : refused.message;
    this.#primary = ports[0]?.machineDevice ?? null;
    for (const [device, client] of this.#clients) {
      if (ports.some((port) => port.machineDevice === device)) continue;
      client.release();
      this.#clients.delete(device);
      this.#leases.delete(device);
    }
    for (const port of ports) {
      if (this.#clients.has(port.machineDevice)) continue;
      const client = this.#client(port.machineDevice, port.machineDevice === this.#primary);
      this.#clients.set(port.machineDevice, client);
      client.start({ fresh });
    }
    this.#readLeases();
    this.#listener.changed(this.#machine.id);
  }

  status(): MachineStatus {
    const { id } = this.#machine;
    if (this.#failure !== null) return { id, state: 'failed', message: this.#failure };
    if (this.#primary === null) return { id, state: 'running', message: 'Has no port' };
    const address = this.#leases.get(this.#primary);
    if (address === undefined) return { id, state: 'starting', message: 'Asks for an address (DHCP)' };
    return { id, state: 'running', message: `Has its address from DHCP`, address };
  }

  /** Of its DHCP clients. */
  get pids(): readonly (number | null)[] {
    return [...this.#clients.values()].map((client) => client.pid);
  }

  /** Lets go; what runs in it goes on. */
  release(): void {
    this.#watcher?.close();
    for (const client of this.#clients.values()) client.release();
    this.#clients.clear();
  }

  #watch(): FSWatcher {
    const watcher = watch(this.#place.directory, (_event, file) => {
      if (file === null || file.endsWith('.lease')) this.#readLeases();
    });
    watcher.on('error', () => this.#readLeases());
    return watcher;
  }

  #readLeases(): void {
    let changed = false;
    for (const device of this.#clients.keys()) {
      let address: string | undefined;
      try {
        address = parseGuestLease(
          readFileSync(join(this.#place.directory, `${device}.lease`), 'utf8'),
        )?.address;
      } catch {
        // No lease now.
      }
      if (this.#leases.get(device) === address) continue;
      changed = true;
      if (address === undefined) this.#leases.delete(device);
      else this.#leases.set(device, address);
    }
    if (changed) this.#listener.changed(this.#machine.id);
  }

  #client(device: string, primary: boolean): SupervisedProcess {
    const { namespace, directory } = this.#place;
    const { id, hostname } = this.#machine;
    const name = `DHCP client of ${id} on ${device}`;
    return new SupervisedProcess(
      {
        name,
        namespace,
        program: 'busybox',
        // Asks every second until there is an answer, and never gives up.
        args: ['udhcpc', '-f', '-R', '-i', device, '-s', script, '-x', `hostname:${hostname}`].concat(
          ['-t', '5', '-T', '1', '-A', '1'],
          ['-O', 'mtu', '-O', 'staticroutes', '-O', 'search'],
        ),
        env: {
          PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
          LC_ALL: 'C',
          SELVAGE_LEASE: join(directory, `${device}.lease`),
          SELVAGE_ETC: join(namespaceEtc, namespace),
          SELVAGE_PRIMARY: primary ? 'yes' : 'no',
        },
        beforeStart: () => writeFileSync(join(directory, `${device}.lease.start`), ''),
        record: join(directory, `${device}.client.json`),
        log: join(directory, `${device}.client.log`),
        isOurs: (args) => args.includes('udhcpc') && args[args.indexOf('-i') + 1] === device,
      },
      {
        started: () => {},
        ended: () =>
          this.#listener.report({
            type: 'host.guest-client-restarted',
            level: 'warning',
            subject: id,
            message: `The ${name} ended and is started again`,
          }),
        failed: (message) => {
          this.#failure = message;
          this.#listener.changed(id);
        },
      },
    );
  }
}
