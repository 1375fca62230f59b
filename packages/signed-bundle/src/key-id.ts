import { createHash, type KeyObject } from 'node:crypto';

/** Name of a key: the first 16 hexadecimal digits of the SHA-256 of its public half (SubjectPublicKeyInfo, RFC 5280, 4.1). */
export const keyId = (publicKey: KeyObject): string =>
  createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);
