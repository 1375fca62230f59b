import { createSocket } from 'node:dgram';
import { randomInt } from 'node:crypto';

/** A question for the A record of `name` (RFC 1035, 4.1), recursion desired. */
const question = (id: number, name: string): Buffer => {
  const header = Buffer.from([id >> 8, id & 0xff, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = name.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
};

/**
 * Asks a name server and returns the response code of its answer (RFC 1035: 0 found, 3 no such name ...), null when none
 * comes within `timeout` ms.
 */
export const askDns = (server: string, name: string, timeout: number): Promise<number | null> =>
  new Promise((resolve) => {
    const id = randomInt(0x1_0000);
    const socket = createSocket('udp4');
    const finish = (result: number | null): void => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => finish(null), timeout);
    socket.once('error', () => finish(null));
    socket.on('message', (message) => {
      // 0x80 in the third byte: it is an answer, not a question sent back.
      if (message.length < 12 || message.readUInt16BE(0) !== id || ((message[2] ?? 0) & 0x80) === 0) return;
      finish((message[3] ?? 0) & 0x0f);
    });
    // Connected, so that an ICMP "port unreachable" ends the wait at once.
    socket.connect(53, server, () => socket.send(question(id, name)));
  });
