/** Secrets at rest: AES-256-GCM with a key that lives beside the database, in a file only its owner reads. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';

/** 12-byte nonces are what GCM is defined for (NIST SP 800-38D, 5.2.1.1); the tag is 16 bytes. */
const NONCE = 12;
const TAG = 16;

export class SecretError extends Error {
  readonly code: 'SECRET_KEY' | 'SECRET_TEXT';

  constructor(code: SecretError['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'SecretError';
    this.code = code;
  }
}

export interface Secrets {
  /** Text that says nothing without the key. `context` binds it to its place: it cannot be moved to another row. */
  encrypt(plain: string, context: string): string;
  /** @throws {SecretError} `SECRET_TEXT` when the text was not made by `encrypt` with this key and context. */
  decrypt(text: string, context: string): string;
}

/** Encryption with a given 32-byte key. */
export const secrets = (key: Buffer): Secrets => ({
  encrypt: (plain, context) => {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context));
    const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
    return `v1:${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')}`;
  },
  decrypt: (text, context) => {
    try {
      if (!text.startsWith('v1:')) throw new Error('no version');
      const bytes = Buffer.from(text.slice(3), 'base64');
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE), { authTagLength: TAG })
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(NONCE, NONCE + TAG));
      return Buffer.concat([decipher.update(bytes.subarray(NONCE + TAG)), decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new SecretError(
        'SECRET_TEXT',
        'A stored secret does not fit secret.key: the file was replaced or the row changed',
        cause,
      );
    }
  },
});

/**
 * The key in `file`, made at the first start.
 * @throws {SecretError} `SECRET_KEY` when the file is there and is no key.
 */
export const openSecrets = (file: string): Secrets => {
  try {
    const fresh = openSync(file, 'wx', 0o600);
    try {
      writeSync(fresh, `${randomBytes(32).toString('base64')}\n`);
      fsyncSync(fresh);
    } finally {
      closeSync(fresh);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  chmodSync(file, 0o600);
  const key = Buffer.from(readFileSync(file, 'utf8').trim(), 'base64');
  if (key.length !== 32)
    throw new SecretError('SECRET_KEY', `${file} does not hold a key of 32 bytes; restore it from a backup`);
  return secrets(key);
};
