/** haproxy's servers at run time: what `show servers state` says, and the commands from there to what is wanted. Pure. */
import { type RenderedServer, serverOptions } from './render.ts';

/** A server as a running haproxy has it. */
export interface RunningServer {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  /** Out of service by command: gets nothing, not even checks, and keeps the connections it has. */
  readonly maintenance: boolean;
  /** By its health checks. */
  readonly up: boolean;
  /** How long it has been so, s. */
  readonly since: number;
}

/** SRV_ADMF_FMAINT: put into maintenance by command (management guide, 9.3 "show servers state"). */
const FORCED_MAINTENANCE = 0x01;

/** Reads `show servers state`: servers by backend and name. Columns are found by the names in its header. */
export const parseServerState = (text: string): Map<string, Map<string, RunningServer>> => {
  const backends = new Map<string, Map<string, RunningServer>>();
  let columns: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('# ')) {
      columns = line.slice(2).split(' ');
      continue;
    }
    const cells = line.split(' ');
    if (columns.length === 0 || cells.length < columns.length) continue;
    const cell = (name: string): string => cells[columns.indexOf(name)] ?? '';
    const servers = backends.get(cell('be_name')) ?? new Map<string, RunningServer>();
    backends.set(cell('be_name'), servers);
    servers.set(cell('srv_name'), {
      address: cell('srv_addr'),
      port: Number(cell('srv_port')),
      weight: Number(cell('srv_uweight')),
      maintenance: (Number(cell('srv_admin_state')) & FORCED_MAINTENANCE) !== 0,
      up: cell('srv_op_state') === '2',
      since: Number(cell('srv_time_since_last_change')),
    });
  }
  return backends;
};

/** Servers of a configuration file, as `backend/server`. */
export const configuredServers = (text: string): string[] => {
  const names: string[] = [];
  let backend = '';
  for (const line of text.split('\n')) {
    const [keyword, name = ''] = line.trim().split(' ');
    if (keyword === 'backend') backend = name;
    if (keyword === 'server') names.push(`${backend}/${name}`);
  }
  return names;
};

/** Runtime commands for one thing to change, and how to say it to people. */
export interface ServerChange {
  readonly sentence: string;
  readonly commands: readonly string[];
  /** The server only waits for its last connection; trying again is no change. */
  readonly leaving?: true;
}

const arrive = (backend: string, server: RenderedServer): ServerChange => {
  const name = `${backend}/${server.name}`;
  return {
    sentence: `member ${name} added (${server.address}:${server.port})`,
    // A server added at run time starts in maintenance with its checks off.
    commands: [
      `add server ${name} ${server.address}:${server.port} ${serverOptions(server.weight)}`,
      `enable health ${name}`,
      `enable server ${name}`,
    ],
  };
};

const leave = (backend: string, name: string, running: RunningServer): ServerChange => {
  const full = `${backend}/${name}`;
  // Refused while it has connections: it stays in maintenance until they ended, and is deleted by a later pass.
  const remove = `del server ${full}`;
  return running.maintenance
    ? { sentence: `member ${full} gone`, commands: [remove], leaving: true }
    : { sentence: `member ${full} removed`, commands: [`set server ${full} state maint`, remove] };
};

const adjust = (backend: string, server: RenderedServer, running: RunningServer): ServerChange[] => {
  const name = `${backend}/${server.name}`;
  const changes: ServerChange[] = [];
  if (running.address !== server.address || running.port !== server.port) {
    changes.push({
      sentence: `member ${name} moved to ${server.address}:${server.port}`,
      commands: [`set server ${name} addr ${server.address} port ${server.port}`],
    });
  }
  if (running.weight !== server.weight) {
    changes.push({
      sentence: `member ${name} ${server.weight === 0 ? 'draining' : 'takes connections again'}`,
      commands: [`set server ${name} weight ${server.weight}`],
    });
  }
  if (running.maintenance) {
    changes.push({
      sentence: `member ${name} back in service`,
      commands: [`set server ${name} state ready`],
    });
  }
  return changes;
};

/** What to tell a running haproxy so that its servers become `wanted`. Empty when they are. */
export const planServers = (
  running: ReadonlyMap<string, ReadonlyMap<string, RunningServer>>,
  wanted: ReadonlyMap<string, readonly RenderedServer[]>,
): ServerChange[] => {
  const changes: ServerChange[] = [];
  for (const [backend, servers] of wanted) {
    const has = running.get(backend);
    const names = new Set(servers.map(({ name }) => name));
    for (const server of servers) {
      const found = has?.get(server.name);
      changes.push(...(found === undefined ? [arrive(backend, server)] : adjust(backend, server, found)));
    }
    // Behind the additions, so that a backend is never without servers while some are exchanged for others.
    for (const [name, found] of has ?? []) if (!names.has(name)) changes.push(leave(backend, name, found));
  }
  return changes;
};
