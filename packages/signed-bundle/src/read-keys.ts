import { createPublicKey, type KeyObject } from 'node:crypto';

/**
 * Public keys in PEM (RFC 7468), one after another, as they stand in a file of keys that are trusted. What is between them
 * counts as remarks. @throws {TypeError} when one is no Ed25519 key, or there is none.
 */
export const readKeys = (pem: string): KeyObject[] => {
  const keys = [...pem.matchAll(/-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g)].map(([text]) => {
    let key: KeyObject;
    try {
      key = createPublicKey(text);
    } catch (cause) {
      throw new TypeError('One of the trusted keys cannot be read', { cause });
    }
    if (key.asymmetricKeyType !== 'ed25519')
      throw new TypeError(`One of the trusted keys is ${key.asymmetricKeyType}, not ed25519`);
    return key;
  });
  if (keys.length === 0)
    throw new TypeError('There is no public key (PEM) in what was given as trusted keys');
  return keys;
};
