import type { AgentFrame, ControllerFrame, Problem, RequestMethod } from 'documents';
import type { RawData, WebSocket } from 'ws';
import { AgentError } from './agent-error.ts';
import type { Log } from './log.ts';

export interface ChannelsOptions {
  readonly log: Log;
  /** The agent said who it is; from here on it hears the doorbell. */
  readonly onHello: (host: string, version: string) => void;
  /** A sign of life. */
  readonly onSeen: (host: string) => void;
  readonly onGone: (host: string) => void;
}

/** The open channels, one for each host at most. */
export interface Channels {
  /** Takes over a socket that was authenticated as the host's. Attaches its listeners before it returns. */
  attach(socket: WebSocket, host: string): void;
  isConnected(host: string): boolean;
  /** Sends a frame; false when there is no channel or it is choked. A lost frame costs one poll interval. */
  send(host: string, frame: ControllerFrame): boolean;
  /** Asks the agent. @throws {AgentError} */
  request(
    host: string,
    method: RequestMethod,
    params: Readonly<Record<string, unknown>>,
    timeout: number,
  ): Promise<unknown>;
  /** Pings every socket; ends those that missed two. Call it every ping interval. */
  heartbeat(): void;
  close(): void;
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: AgentError) => void;
}

interface Channel {
  readonly host: string;
  readonly socket: WebSocket;
  readonly waiting: Map<string, Waiting>;
  ready: boolean;
  missed: number;
}

/** More than this unsent, and the other side does not read: doorbells would only pile up. */
const CHOKED = 1 << 20;
/** WebSocket close codes (RFC 6455, 7.4.1). */
const POLICY = 1008;
const GOING_AWAY = 1001;

export const openChannels = (options: ChannelsOptions): Channels => {
  const { log } = options;
  const all = new Set<Channel>();
  const byHost = new Map<string, Channel>();
  let nextRequest = 0;

  const forget = (channel: Channel): void => {
    if (!all.delete(channel)) return;
    for (const { reject } of channel.waiting.values())
      reject(
        new AgentError('AGENT_TIMEOUT', `The channel to host ${channel.host} closed before it answered`),
      );
    channel.waiting.clear();
    if (byHost.get(channel.host) !== channel) return;
    byHost.delete(channel.host);
    options.onGone(channel.host);
  };

  const onHello = (channel: Channel, frame: Extract<AgentFrame, { type: 'hello' }>): void => {
    if (frame.host !== channel.host) {
      log.warn({ host: channel.host, claimed: frame.host }, 'agent says hello as another host');
      channel.socket.close(POLICY, 'The token is that of another host');
      return;
    }
    const before = byHost.get(channel.host);
    channel.ready = true;
    byHost.set(channel.host, channel);
    // The agent came back before its old connection was noticed dead.
    if (before !== undefined && before !== channel) {
      forget(before);
      before.socket.terminate();
    }
    options.onHello(channel.host, frame.version);
  };

  const onFrame = (channel: Channel, frame: AgentFrame | null): void => {
    if (frame === null || (!channel.ready && frame.type !== 'hello')) {
      channel.socket.close(POLICY, 'Not a frame of this protocol, or no hello before it');
      return;
    }
    if (frame.type === 'hello') {
      onHello(channel, frame);
      return;
    }
    const waiting = channel.waiting.get(frame.id);
    if (waiting === undefined) return;
    channel.waiting.delete(frame.id);
    if ('problem' in frame)
      waiting.reject(new AgentError('AGENT_REFUSED', frame.problem.message, frame.problem));
    else waiting.resolve(frame.result);
  };

  const isOpen = (channel: Channel): boolean =>
    channel.socket.readyState === channel.socket.OPEN && channel.socket.bufferedAmount < CHOKED;

  const channels: Channels = {
    attach: (socket, host) => {
      const channel: Channel = { host, socket, waiting: new Map(), ready: false, missed: 0 };
      all.add(channel);
      socket.on('message', (message, binary) => {
        options.onSeen(host);
        onFrame(channel, binary ? null : readFrame(message));
      });
      socket.on('pong', () => {
        channel.missed = 0;
        options.onSeen(host);
      });
      socket.on('close', () => forget(channel));
      socket.on('error', (error) => log.debug({ host, err: error }, 'agent channel failed'));
    },
    isConnected: (host) => byHost.has(host),
    send: (host, frame) => {
      const channel = byHost.get(host);
      if (channel === undefined || !isOpen(channel)) return false;
      channel.socket.send(JSON.stringify(frame));
      return true;
    },
    request: async (host, method, params, timeout) => {
      const channel = byHost.get(host);
      nextRequest += 1;
      const id = `req-${nextRequest}`;
      if (channel === undefined || !channels.send(host, { type: 'request', id, method, params }))
        throw new AgentError('HOST_NOT_CONNECTED', `The agent of host ${host} is not connected`);
      let timer: NodeJS.Timeout | undefined;
      try {
        return await new Promise((resolve, reject) => {
          channel.waiting.set(id, { resolve, reject });
          timer = setTimeout(() => {
            reject(new AgentError('AGENT_TIMEOUT', `Host ${host} did not answer within ${timeout} ms`));
          }, timeout);
        });
      } finally {
        clearTimeout(timer);
        channel.waiting.delete(id);
      }
    },
    heartbeat: () => {
      for (const channel of all) {
        if (channel.missed >= 2 || (channel.missed >= 1 && !channel.ready)) {
          channel.socket.terminate();
          forget(channel);
          continue;
        }
        channel.missed += 1;
        if (channel.socket.readyState === channel.socket.OPEN) channel.socket.ping();
      }
    },
    close: () => {
      for (const channel of all) {
        forget(channel);
        channel.socket.close(GOING_AWAY, 'The controller stops');
        channel.socket.terminate();
      }
    },
  };
  return channels;
};

/** Reads a frame of an agent, null for anything else. */
const readFrame = (message: RawData): AgentFrame | null => {
  let value: unknown;
  try {
    value = JSON.parse(String(message));
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const frame = value as Record<string, unknown>;
  if (frame['type'] === 'hello')
    return typeof frame['host'] === 'string' && typeof frame['version'] === 'string'
      ? { type: 'hello', host: frame['host'], version: frame['version'].slice(0, 64) }
      : null;
  if (frame['type'] !== 'response' || typeof frame['id'] !== 'string') return null;
  if (isProblem(frame['problem'])) return { type: 'response', id: frame['id'], problem: frame['problem'] };
  return 'result' in frame ? { type: 'response', id: frame['id'], result: frame['result'] } : null;
};

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' && value !== null && typeof (value as Problem).message === 'string';
