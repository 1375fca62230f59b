/** A network in memory for tests: the same requests, the same errors, no kernel and no privileges. */
export { FakeConntrackSocket } from './fake/fake-conntrack-socket.ts';
export { FakeNetwork } from './fake/fake-network.ts';
export { FakeRouteSocket } from './fake/fake-route-socket.ts';
