/**
 * A machine's network programs for packet tests, run inside its namespace: takes one JSON request a line, answers one JSON
 * line each. Servers echo whom they see, so that a client learns what translation made of it.
 */
import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

interface Request {
  readonly id: number;
  readonly do: 'serve' | 'tcp' | 'udp' | 'open' | 'say' | 'shut';
  readonly port?: number;
  readonly address?: string;
  readonly from?: string;
  readonly timeout?: number;
  readonly handle?: number;
}

const open = new Map<number, Socket>();
let handles = 0;

const serve = async (port: number): Promise<string> => {
  const tcp = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => socket.write(`${socket.remoteAddress} ${socket.remotePort} ${port}\n`));
  });
  await new Promise<void>((resolve) => tcp.listen(port, '0.0.0.0', resolve));
  const udp = createSocket('udp4');
  udp.on('message', (_message, from) =>
    udp.send(`${from.address} ${from.port} ${port}\n`, from.port, from.address),
  );
  await new Promise<void>((resolve) => udp.bind(port, '0.0.0.0', resolve));
  return 'serving';
};

const answerOf = (socket: Socket, timeout: number): Promise<string> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => done('timeout'), timeout);
    const data = (chunk: Buffer): void => done(chunk.toString().trim());
    const failed = (error: NodeJS.ErrnoException): void => done(error.code ?? error.message);
    const closed = (): void => done('closed');
    const done = (result: string): void => {
      clearTimeout(timer);
      socket.off('data', data);
      socket.off('error', failed);
      socket.off('close', closed);
      resolve(result);
    };
    socket.on('data', data);
    socket.on('error', failed);
    socket.on('close', closed);
    socket.write('x');
  });

const tcpSocket = ({ address, port, from }: Request): Socket =>
  connect({
    host: address as string,
    port: port as number,
    ...(from === undefined ? {} : { localAddress: from }),
  });

const udp = ({ address, port, from, timeout = 1500 }: Request): Promise<string> =>
  new Promise((resolve) => {
    const socket = createSocket('udp4');
    const done = (result: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => done('timeout'), timeout);
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.on('message', (message) => done(message.toString().trim()));
    socket.bind(0, from ?? '0.0.0.0', () => socket.send('x', port as number, address));
  });

const perform = async (request: Request): Promise<string> => {
  const { timeout = 1500 } = request;
  switch (request.do) {
    case 'serve':
      return serve(request.port as number);
    case 'udp':
      return udp(request);
    case 'tcp': {
      const socket = tcpSocket(request);
      socket.on('error', () => undefined);
      const result = await answerOf(socket, timeout);
      socket.destroy();
      return result;
    }
    case 'open': {
      const socket = tcpSocket(request);
      socket.on('error', () => undefined);
      handles += 1;
      open.set(handles, socket);
      const result = await answerOf(socket, timeout);
      return `${handles} ${result}`;
    }
    case 'say': {
      const socket = open.get(request.handle as number);
      return socket === undefined || socket.destroyed ? 'closed' : answerOf(socket, timeout);
    }
    case 'shut':
      open.get(request.handle as number)?.destroy();
      return 'shut';
  }
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line) as Request;
  void perform(request).then((result) =>
    process.stdout.write(`${JSON.stringify({ id: request.id, result })}\n`),
  );
});
process.stdin.on('end', () => process.exit(0));
