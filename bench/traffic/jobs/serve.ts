/** TCP and UDP echo, and a sink that checks what it takes. */
import { createServer, type Server, type Socket } from 'node:net';
import { streamPieces } from '../message.ts';
import { openDatagrams } from '../sockets.ts';
import type { Job, ServeSpec } from './job.ts';

const listen = (server: Server, address: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, backlog: 4096 }, () => {
      server.off('error', reject);
      resolve();
    });
  });

export const serve = ({ address, port, morePorts, sinkPort }: ServeSpec): Job => {
  const sockets = new Set<Socket>();
  let connections = 0;
  let datagrams = 0;
  let udp: ReturnType<typeof openDatagrams> | undefined;

  const accept = (socket: Socket): void => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Clients count what breaks; a balancer's health checks reset their connections.
    socket.on('error', () => socket.destroy());
  };
  const echo = (): Server =>
    createServer({ noDelay: true }, (socket) => {
      accept(socket);
      socket.on('data', (bytes) => {
        if (!socket.destroyed) socket.write(bytes);
      });
    });
  const echoes = [port, ...morePorts].map((number) => ({ number, server: echo() }));
  const sink = createServer({ allowHalfOpen: true }, (socket) => {
    accept(socket);
    let taken = 0;
    socket.on('data', (bytes: Buffer) => {
      let offset = 0;
      for (const piece of streamPieces(taken, bytes.length)) {
        if (bytes.compare(piece, 0, piece.length, offset, offset + piece.length) !== 0) {
          socket.resetAndDestroy();
          return;
        }
        offset += piece.length;
      }
      taken += bytes.length;
    });
    socket.on('end', () => {
      const total = Buffer.alloc(8);
      total.writeBigUInt64BE(BigInt(taken));
      socket.end(total);
    });
  });

  return {
    open: async () => {
      for (const { number, server } of echoes) await listen(server, address, number);
      await listen(sink, address, sinkPort);
      const bound = openDatagrams('udp', { address, port });
      bound.on('message', (message, from) => {
        datagrams += 1;
        bound.send(message, from.port, from.address, () => {});
      });
      bound.on('error', () => {});
      udp = bound;
    },
    begin: () => {},
    end: async () => {},
    report: () => ({ kind: 'serve', connections, datagrams }),
    close: () => {
      for (const socket of sockets) socket.destroy();
      for (const { server } of echoes) server.close();
      sink.close();
      udp?.close();
      udp = undefined;
    },
  };
};
