/** Unix socket paths end at 107 bytes (unix(7), sun_path with its NUL): a state directory must leave room for ours. Pure. */

const MOST_BYTES = 107;
/** The longest socket of a router: its own and those of its services are at most this long below its directory. */
const LONGEST_SOCKET = 'host/routers/rtr-000000000000/haproxy/master.sock.00000.tmp';

/** Why sockets would not fit below this directory, with a remedy; null when they do. */
export const statePathProblem = (state: string): string | null => {
  const room = MOST_BYTES - new TextEncoder().encode(`/${LONGEST_SOCKET}`).length;
  const length = new TextEncoder().encode(state).length;
  if (!state.startsWith('/')) return `--state ${state}: give an absolute path`;
  if (length <= room) return null;
  return `--state ${state} has ${length} bytes, and unix sockets below it would be longer than ${MOST_BYTES}; choose a path of at most ${room}`;
};
