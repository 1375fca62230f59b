/** A guest's service for tests and the demo: HTTP that says its name and who asked, TCP and UDP echo. Arguments: NAME PORT [ECHO-PORT]. */
import { createSocket } from 'node:dgram';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';

const [name = 'guest', port = '8080', echoPort] = process.argv.slice(2);

createHttpServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(
    `${JSON.stringify({ iAm: name, youAre: request.socket.remoteAddress, forwardedFor: request.headers['x-forwarded-for'] ?? null })}\n`,
  );
}).listen(Number(port), '0.0.0.0');

if (echoPort !== undefined) {
  createTcpServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  }).listen(Number(echoPort), '0.0.0.0');
  const udp = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  udp.on('message', (message, { port: from, address }) => udp.send(message, from, address));
  udp.bind(Number(echoPort));
}
