/** Sends requests on links, addresses, routes and the like to the kernel, one at a time or many at once. */
import { closeSync } from 'node:fs';
import { inNamespace, openNamespace } from './in-namespace.ts';
import { NETLINK_ROUTE, NetlinkSocket, type KernelRefusal } from './netlink-socket.ts';
import { errorOf, NetlinkError } from './netlink-error.ts';
import type { DumpRequest, ElsewhereStep, EncodeContext, NetlinkRequest } from './request.ts';
import { makeTun } from './tun-device.ts';

export interface RouteSocketOptions {
  /** Namespace it works in: a name of `ip netns` or a path; that of the thread when absent. */
  readonly netns?: string | undefined;
}

/** How often a dump that changed under the reader is made again before that is an error. */
const DUMP_ATTEMPTS = 10;

/** A socket for requests. The real one talks to the kernel; the fake keeps the same state in memory. */
export interface RouteSocket {
  /** Sends one request and returns the answer (nothing for changes); throws {@link NetlinkError}. */
  send<T>(request: NetlinkRequest<T>): T;
  /**
   * Sends many changes, as few calls as possible, and says of each how it went. A refused one does not stop the others.
   * Later requests may name links that earlier ones make.
   */
  batch(requests: readonly NetlinkRequest<unknown>[]): (NetlinkError | null)[];
  /** Everything of a kind; throws `netlink-interrupted` when it changed faster than it could be read. */
  dump<T>(request: DumpRequest<T>): T[];
  /** Every later call throws `netlink-closed`. Closing twice is harmless. */
  close(): void;
  [Symbol.dispose](): void;
}

const refused = (description: string, refusal: KernelRefusal): NetlinkError =>
  new NetlinkError({ request: description, ...refusal });

interface Pending {
  readonly request: number;
  readonly message: Buffer;
}

/** Names looked up at once, where nothing waits to be sent. */
const lookupContext = (socket: NetlinkSocket, request: string): EncodeContext => ({
  linkIndex: (name) => {
    const index = socket.linkIndex(name);
    if (index !== undefined) return index;
    throw new NetlinkError({ request, errno: 'ENODEV', kernelMessage: `no link ${name}` });
  },
  namespaceDescriptor: () => {
    throw new NetlinkError({ request, errno: 'EINVAL', kernelMessage: 'a namespace cannot be named here' });
  },
});

class KernelRouteSocket implements RouteSocket {
  readonly #socket: NetlinkSocket;
  readonly #netns: string | undefined;

  constructor(options: RouteSocketOptions) {
    this.#netns = options.netns;
    this.#socket = new NetlinkSocket({ protocol: NETLINK_ROUTE, netns: options.netns });
  }

  send<T>(request: NetlinkRequest<T>): T {
    let result: T | undefined;
    const [error] = this.#run([request], (value) => {
      result = value as T;
    });
    if (error !== null && error !== undefined) throw error;
    if (request.decode !== undefined && result === undefined) {
      throw new NetlinkError({ request: request.description, errno: 'ENOENT', kernelMessage: 'no answer' });
    }
    return result as T;
  }

  batch(requests: readonly NetlinkRequest<unknown>[]): (NetlinkError | null)[] {
    return this.#run(requests, () => {});
  }

  #run(
    requests: readonly NetlinkRequest<unknown>[],
    answer: (value: unknown, request: number) => void,
  ): (NetlinkError | null)[] {
    const errors: (NetlinkError | null)[] = requests.map(() => null);
    const descriptors: number[] = [];
    const opening: number[] = [];
    const elsewhere: { request: number; step: ElsewhereStep }[] = [];
    let pending: Pending[] = [];
    let touched = new Set<string>();

    const flush = (): void => {
      const sent = pending;
      pending = [];
      touched = new Set();
      const refusals = this.#socket.exchange(
        sent.map((entry) => entry.message),
        (message, number) => {
          const which = sent[number]?.request ?? -1;
          const value = requests[which]?.decode?.(message);
          if (value !== undefined) answer(value, which);
        },
      );
      refusals.forEach((refusal, number) => {
        const which = sent[number]?.request ?? -1;
        const request = requests[which];
        if (refusal !== null && request !== undefined)
          errors[which] ??= refused(request.description, refusal);
      });
      for (const fd of descriptors.splice(0)) closeSync(fd);
    };

    const context: EncodeContext = {
      linkIndex: (name) => {
        // What waits to be sent may make, rename or remove this link: the answer would be of yesterday.
        if (touched.has(name) || touched.has('*')) flush();
        const index = this.#socket.linkIndex(name);
        if (index === undefined) {
          throw new NetlinkError({ request: 'find link', errno: 'ENODEV', kernelMessage: `no link ${name}` });
        }
        return index;
      },
      namespaceDescriptor: (netns) => {
        const fd = openNamespace(netns);
        opening.push(fd);
        return fd;
      },
    };

    try {
      requests.forEach((request, number) => {
        try {
          for (const [position, step] of request.steps.entries()) {
            // A refused request goes no further: what follows would change the link that was in its way.
            if (position > 0 && !('elsewhere' in step)) flush();
            if (errors[number] !== null) break;
            if (typeof step === 'function') {
              // Encoding may flush: what it opened belongs to a message that is not pending yet.
              const message = step(context);
              pending.push({ request: number, message });
              descriptors.push(...opening.splice(0));
              for (const name of request.touches) touched.add(name);
            } else if ('tun' in step) {
              flush();
              const make = (): void => makeTun(step.tun);
              const where = step.netns ?? this.#netns;
              if (where === undefined) make();
              else inNamespace(where, make);
            } else {
              elsewhere.push({ request: number, step });
            }
          }
        } catch (error) {
          errors[number] ??= errorOf(error, request.description);
        }
      });
      flush();
      this.#sendElsewhere(requests, elsewhere, errors);
    } finally {
      for (const fd of [...descriptors, ...opening]) closeSync(fd);
    }
    return errors;
  }

  /** What is left of requests that began here and end in other namespaces, one call for each namespace. */
  #sendElsewhere(
    requests: readonly NetlinkRequest<unknown>[],
    steps: readonly { request: number; step: ElsewhereStep }[],
    errors: (NetlinkError | null)[],
  ): void {
    const fail = (which: number, error: unknown): void => {
      errors[which] ??= errorOf(error, requests[which]?.description ?? '');
    };
    for (const [netns, group] of Map.groupBy(steps, ({ step }) => step.elsewhere)) {
      const wanted = group.filter(({ request }) => errors[request] === null);
      if (wanted.length === 0) continue;
      let socket: NetlinkSocket | undefined;
      try {
        socket = new NetlinkSocket({ protocol: NETLINK_ROUTE, netns });
        const context = lookupContext(socket, `set up links in ${netns}`);
        const sent: Pending[] = [];
        for (const { request, step } of wanted) {
          try {
            sent.push({ request, message: step.message(context) });
          } catch (error) {
            fail(request, error);
          }
        }
        const refusals = socket.exchange(sent.map(({ message }) => message));
        refusals.forEach((refusal, number) => {
          const which = sent[number]?.request ?? -1;
          if (refusal !== null) fail(which, refused(requests[which]?.description ?? '', refusal));
        });
      } catch (error) {
        for (const { request } of wanted) fail(request, error);
      } finally {
        socket?.close();
      }
    }
  }

  dump<T>(request: DumpRequest<T>): T[] {
    const context = lookupContext(this.#socket, request.description);
    const select = request.select?.(context);
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt += 1) {
      const found: T[] = [];
      const outcome = this.#socket.dump(request.encode(context), (message) => {
        const value = request.decode(message);
        if (value !== undefined && (select === undefined || select(value))) found.push(value);
      });
      if (outcome === 'complete') return found;
      if (outcome !== 'interrupted' && outcome.errno === request.emptyOn) return [];
      if (outcome !== 'interrupted') throw refused(request.description, outcome);
    }
    throw new NetlinkError({
      request: request.description,
      errno: 'EINTR',
      kernelMessage: `changed during each of ${DUMP_ATTEMPTS} attempts`,
    });
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens a socket for requests in a namespace; `netlink-not-found` when there is no such namespace. */
export const openRouteSocket = (options: RouteSocketOptions = {}): RouteSocket =>
  new KernelRouteSocket(options);
