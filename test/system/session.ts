/**
 * Keeps one TCP connection to an echo service busy. Arguments: ADDRESS PORT MESSAGES INTERVAL-MS.
 * Prints one JSON object: {sent, echoed, broken, longestGapMs}; `broken` is why the connection ended before its time, or null.
 */
import { connect } from 'node:net';

const [address = '127.0.0.1', port = '7', messages = '100', interval = '50'] = process.argv.slice(2);
const SIZE = 64;
let sent = 0;
let echoed = 0;
let broken: string | null = null;
let lastAt = performance.now();
let longestGapMs = 0;

const socket = connect(Number(port), address);
const finish = (): void => {
  clearInterval(timer);
  socket.destroy();
  console.log(
    JSON.stringify({
      sent,
      echoed: Math.floor(echoed / SIZE),
      broken,
      longestGapMs: Math.round(longestGapMs),
    }),
  );
  process.exit(0);
};
const timer = setInterval(() => {
  if (socket.connecting) return;
  if (sent < Number(messages)) {
    socket.write(Buffer.alloc(SIZE));
    sent += 1;
  } else if (echoed === sent * SIZE || performance.now() - lastAt > 10_000) finish();
}, Number(interval));
socket.on('data', (data) => {
  echoed += data.length;
  longestGapMs = Math.max(longestGapMs, performance.now() - lastAt);
  lastAt = performance.now();
});
socket.on('error', (error) => {
  broken = error.message;
});
socket.on('close', () => {
  broken ??= 'closed by the other side';
  finish();
});
