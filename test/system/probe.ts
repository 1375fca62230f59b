/**
 * Sends numbered UDP datagrams to an echo service at a steady pace and counts what comes back.
 * Arguments: ADDRESS PORT COUNT INTERVAL-MS. Prints one JSON object: {sent, received, doubled, lost, longestGapMs}.
 * A late timer skips slots instead of bursting, so that a stall of this process is not taken for loss.
 */
import { createSocket } from 'node:dgram';

const [address = '127.0.0.1', port = '7', count = '100', interval = '1'] = process.argv.slice(2);
const socket = createSocket({ type: 'udp4', recvBufferSize: 8 << 20 });
const seen = new Set<number>();
let sent = 0;
let doubled = 0;
let lastAt = performance.now();
let longestGapMs = 0;

socket.on('message', (message) => {
  const number = message.readUInt32BE(0);
  if (seen.has(number)) doubled += 1;
  seen.add(number);
  longestGapMs = Math.max(longestGapMs, performance.now() - lastAt);
  lastAt = performance.now();
});
socket.connect(Number(port), address, () => {
  const timer = setInterval(() => {
    const message = Buffer.alloc(64);
    message.writeUInt32BE(sent, 0);
    socket.send(message);
    sent += 1;
    if (sent < Number(count)) return;
    clearInterval(timer);
    setTimeout(() => {
      socket.close();
      console.log(
        JSON.stringify({
          sent,
          received: seen.size,
          doubled,
          lost: sent - seen.size,
          longestGapMs: Math.round(longestGapMs),
        }),
      );
    }, 500);
  }, Number(interval));
});
// Refused datagrams (ICMP port unreachable) count as lost.
socket.on('error', () => {});
