/** An end of measurements: a namespace whose devices have fixed addresses. Nothing runs in it; see host/probes. */
import { addressOfPrefix } from 'ip';
import { AnnounceError, announceAddresses } from '../../fabric/announce.ts';
import type { Machine, MachineStatus, SegmentPort } from 'documents';
import { addresses, links, type NetlinkRequest, openRouteSocket, routes } from 'node-netlink';

/** Devices in the order of their names, each with its address, and the way out. Pure. */
export const probeRequests = (machine: Machine, ports: readonly SegmentPort[]): NetlinkRequest[] => {
  const sorted = ports.toSorted((a, b) => (a.machineDevice < b.machineDevice ? -1 : 1));
  return [
    links.set({ name: 'lo', up: true }),
    ...sorted.flatMap(({ machineDevice, mtu }, index) => {
      const address = machine.addresses?.[index];
      return [
        links.set({ name: machineDevice, mtu, up: true }),
        ...(address === undefined ? [] : [addresses.replace({ dev: machineDevice, address, noDad: true })]),
      ];
    }),
    ...(machine.gateway === undefined
      ? []
      : [routes.replace({ destination: 'default', via: machine.gateway })]),
  ];
};

/** A probe that is switched on. */
export class ProbeMachine {
  readonly #namespace: string;
  #failure: string | null = null;
  #configured = false;

  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** Brings the devices to what is wanted, addresses of an earlier wish removed. */
  run(machine: Machine, ports: readonly SegmentPort[]): void {
    using route = openRouteSocket({ netns: this.#namespace });
    const wanted = new Set(machine.addresses);
    const names = new Map(route.dump(links.dump()).map(({ index, name }) => [index, name] as const));
    const own = new Set(ports.map((port) => port.machineDevice));
    const stale = route
      .dump(addresses.dump())
      .filter(({ address, link, scope }) => {
        const name = names.get(link);
        return scope === 'global' && name !== undefined && own.has(name) && !wanted.has(address);
      })
      .map(({ address, link }) => addresses.remove({ dev: link, address }));
    const errors = route.batch([...stale, ...probeRequests(machine, ports)]);
    this.#failure = errors.find((error) => error !== null)?.message ?? null;
    if (this.#configured || this.#failure !== null) return;
    this.#configured = true;
    // An address that was somebody else's a moment ago is in the caches of routers with the MAC of that.
    try {
      for (const { machineDevice } of ports) announceAddresses(this.#namespace, machineDevice);
    } catch (error) {
      // They ask anew by themselves, some seconds later.
      if (!(error instanceof AnnounceError)) throw error;
    }
  }

  status({ id, addresses: wanted }: Machine): MachineStatus {
    if (this.#failure !== null) return { id, state: 'failed', message: this.#failure };
    if (!this.#configured) return { id, state: 'starting', message: 'Is being made' };
    const [first] = wanted ?? [];
    return {
      id,
      state: 'running',
      message: 'Is there to be measured with',
      ...(first === undefined
        ? {}
        : { address: addressOfPrefix(first as Parameters<typeof addressOfPrefix>[0]) }),
    };
  }
}
