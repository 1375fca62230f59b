/**
 * The lab's "internet": a web server that tells who asked, and TCP and UDP echo. Runs inside the lab's namespace, so it
 * listens on every address there. Argument: nothing. Ends with SIGTERM.
 */
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { networkInterfaces } from 'node:os';

createHttpServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(
    `${JSON.stringify({ youAre: request.socket.remoteAddress?.replace('::ffff:', ''), port: request.socket.remotePort, asked: request.url })}\n`,
  );
}).listen(80, '0.0.0.0');

createTcpServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
}).listen(7, '0.0.0.0');

// One socket an address: an answer has to come from the address that was asked.
for (const { address, family } of Object.values(networkInterfaces()).flatMap(
  (addresses) => addresses ?? [],
)) {
  if (family !== 'IPv4') continue;
  const udp = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  udp.on('message', (message, { port, address: from }) => udp.send(message, port, from));
  udp.bind(7, address);
}
