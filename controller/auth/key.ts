import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Length of a key or token behind its prefix: 32 bytes in base64url. */
const LENGTH = 43;
const BEARER = new RegExp(`^Bearer ((?:svk|svh)_[A-Za-z0-9_-]{${LENGTH}})$`);

/** A new API key: 256 random bits, so a plain hash is enough to store it (nothing to guess, nothing to stretch). */
export const newApiKey = (): string => `svk_${randomBytes(32).toString('base64url')}`;

/** A new token for a host's agent. */
export const newHostToken = (): string => `svh_${randomBytes(32).toString('base64url')}`;

/** How keys and tokens are stored: SHA-256, hex. */
export const keyHash = (key: string): string => createHash('sha256').update(key).digest('hex');

/** The key of an `Authorization` header, null when it has none of ours. */
export const bearerOf = (header: string | undefined): string | null => BEARER.exec(header ?? '')?.[1] ?? null;

/** Compares in a time that says nothing about where the difference is. */
export const sameHash = (a: string, b: string): boolean => {
  const [left, right] = [Buffer.from(a, 'hex'), Buffer.from(b, 'hex')];
  return left.length === right.length && timingSafeEqual(left, right);
};
