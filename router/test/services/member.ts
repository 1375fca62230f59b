/**
 * A guest behind a load balancer: `node member.ts NAME`. HTTP on 8000 answers with its name and what it was told about
 * the client; TCP on 9000 greets with its name and echoes. Prints "ready".
 */
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';

const name = process.argv[2] ?? '';
const http = createServer((request, response) => {
  response.end(`${name} ${request.headers['x-forwarded-for'] ?? '-'}\n`);
});
const echo = createTcpServer((socket) => {
  socket.on('error', () => undefined);
  socket.write(`${name}\n`);
  socket.pipe(socket);
});
http.listen(8000, () => echo.listen(9000, () => process.stdout.write('ready\n')));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
