import { connect } from 'node:net';
import { ServiceError } from './service-error.ts';

/** sun_path holds 108 bytes, the last of them 0 (unix(7)). */
const LONGEST_PATH = 107;
const LARGEST_ANSWER = 64 * 1024 * 1024;

/**
 * Sends one line to a unix socket and returns everything that comes back before the other side closes. Throws when the
 * socket is not there or does not finish within `timeout` ms.
 */
export const askSocket = (path: string, line: string, timeout = 2_000): Promise<string> =>
  new Promise((resolve, reject) => {
    if (Buffer.byteLength(path) > LONGEST_PATH) {
      const message = `${path} is longer than the ${LONGEST_PATH} bytes a unix socket may have; use a shorter state directory`;
      reject(new ServiceError('socket-path-too-long', message));
      return;
    }
    const socket = connect(path);
    const chunks: Buffer[] = [];
    let size = 0;
    const timer = setTimeout(() => {
      socket.destroy(new ServiceError('service-not-ready', `No answer on ${path} within ${timeout} ms`));
    }, timeout);
    socket.on('connect', () => socket.write(`${line}\n`));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > LARGEST_ANSWER)
        socket.destroy(new ServiceError('service-protocol', `Endless answer on ${path}`));
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).toString());
    });
  });
