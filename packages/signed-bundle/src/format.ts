/**
 * A bundle is a JavaScript program whose first line is a comment that says what it is:
 *
 *     // selvage-bundle {"version":"0.1.0","keyId":"3f9a…","signature":"…"}
 *
 * So the file runs as it is. The signature (Ed25519, RFC 8032) covers the version and every byte after the first line.
 */
import { createHash } from 'node:crypto';

export const PREFIX = '// selvage-bundle ';

/** The first line may be so long, bytes. */
export const LONGEST_HEADER = 1024;

export interface Header {
  readonly version: string;
  readonly keyId: string;
  /** Base64. */
  readonly signature: string;
}

/** What is signed. The version has no newline, so that nothing can be moved from one part to the other. */
export const signedText = (version: string, code: Buffer): Buffer =>
  Buffer.from(`${version}\n${createHash('sha256').update(code).digest('hex')}`);

export const isVersion = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$/.test(value);

/** The one way to write a header: whatever else means the same is refused, so that nothing of a file can be altered. */
export const headerLine = ({ version, keyId, signature }: Header): string =>
  PREFIX + JSON.stringify({ version, keyId, signature });

/** The first line, without its newline, as a header; null when it is none. */
export const readHeader = (line: string): Header | null => {
  if (!line.startsWith(PREFIX)) return null;
  try {
    const value = JSON.parse(line.slice(PREFIX.length)) as Partial<Header> | null;
    const { version, keyId, signature } = value ?? {};
    if (!isVersion(version) || typeof keyId !== 'string' || typeof signature !== 'string') return null;
    const header: Header = {
      version,
      keyId,
      signature: Buffer.from(signature, 'base64').toString('base64'),
    };
    return headerLine(header) === line ? header : null;
  } catch {
    return null;
  }
};
