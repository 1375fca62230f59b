/** Namespaces for one test, removed however it ends. */
import type { ExecutionContext } from 'ava';
import { namespaces, openRouteSocket, type RouteSocket } from 'node-netlink';

let counter = 0;

/** A fresh namespace with its loopback up. */
export const scratchNamespace = (t: ExecutionContext): string => {
  counter += 1;
  const name = `svt${process.pid}n${counter}`;
  namespaces.create(name, { loopbackUp: true });
  t.teardown(() => {
    if (namespaces.exists(name)) namespaces.remove(name);
  });
  return name;
};

/** A fresh namespace and a socket in it. */
export const scratchSocket = (t: ExecutionContext): { netns: string; socket: RouteSocket } => {
  const netns = scratchNamespace(t);
  const socket = openRouteSocket({ netns });
  t.teardown(() => socket.close());
  return { netns, socket };
};
