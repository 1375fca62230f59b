/** The namespaces of the fake, and the moves of links between them. */
import type { ConntrackSocket, ConntrackSocketOptions } from '../conntrack-socket.ts';
import type { NamespaceReference } from '../link-options.ts';
import type { RouteSocket, RouteSocketOptions } from '../route-socket.ts';
import { FakeConntrackSocket } from './fake-conntrack-socket.ts';
import { FakeNamespace, refuse } from './fake-namespace.ts';
import { FakeRouteSocket } from './fake-route-socket.ts';

/** A machine in memory: its own namespace and named ones. */
export class FakeNetwork {
  readonly #root = new FakeNamespace(null);
  readonly #named = new Map<string, FakeNamespace>();
  #nextMac = 1;

  /** The named namespaces; same calls and errors as the real ones, without `run` and with settings kept as text. */
  readonly namespaces = {
    create: (name: string, options: { readonly loopbackUp?: boolean | undefined } = {}): void => {
      if (this.#named.has(name)) throw refuse(`create network namespace ${name}`, 'EEXIST');
      const namespace = new FakeNamespace(name);
      const loopback = namespace.link('lo', 'bring up loopback');
      if (options.loopbackUp === true) Object.assign(loopback, { up: true, running: true, carrier: true });
      this.#named.set(name, namespace);
    },
    remove: (name: string): void => {
      const namespace = this.#named.get(name);
      if (namespace === undefined) throw refuse(`remove network namespace ${name}`, 'ENOENT');
      this.#named.delete(name);
      // Virtual links die with their namespace and take their peers along.
      for (const link of namespace.links.slice()) link.peer?.namespace.dropLink(link.peer.link);
    },
    list: (): string[] => [...this.#named.keys()].toSorted(),
    exists: (name: string): boolean => this.#named.has(name),
    sysctl: (name: string, values: Readonly<Record<string, string | number>>): void => {
      if (!this.#named.has(name)) throw refuse(`open network namespace ${name}`, 'ENOENT');
      const kept = this.#settings.get(name) ?? new Map<string, string>();
      for (const [key, value] of Object.entries(values)) kept.set(key, String(value));
      this.#settings.set(name, kept);
    },
  };

  readonly #settings = new Map<string, Map<string, string>>();

  /** The value last written by `namespaces.sysctl`, for assertions. */
  setting(name: string, key: string): string | undefined {
    return this.#settings.get(name)?.get(key);
  }

  /** A socket in the root namespace or a named one. */
  readonly openRouteSocket = (options: RouteSocketOptions = {}): RouteSocket =>
    new FakeRouteSocket({ network: this, netns: options.netns });

  /** A socket for the connections of the root namespace or a named one. */
  readonly openConntrackSocket = (options: ConntrackSocketOptions = {}): ConntrackSocket =>
    new FakeConntrackSocket(this.namespace(options.netns).connections);

  /** The namespace of a name or of a path below /run/netns. */
  namespace(reference: NamespaceReference | undefined): FakeNamespace {
    if (reference === undefined) return this.#root;
    const name = String(reference).replace(/^(\/var)?\/run\/netns\//, '');
    const found = this.#named.get(name);
    if (found === undefined) throw refuse(`open network namespace ${name}`, 'ENOENT');
    return found;
  }

  /** A MAC address not given before. */
  nextMac(): string {
    const number = this.#nextMac.toString(16).padStart(8, '0');
    this.#nextMac += 1;
    return `02:fa:${(number.match(/../g) ?? []).join(':')}`;
  }
}
