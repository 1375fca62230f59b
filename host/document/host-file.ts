/** Who this host is: `host.json`, written once when the host is enrolled. */
import { readFileSync } from 'node:fs';

export interface HostIdentity {
  readonly id: string;
  /** Secret. */
  readonly token: string;
  /** URL of the controller. */
  readonly controller: string;
}

/** The file is missing or of no use. */
export class HostFileError extends Error {
  override readonly name = 'HostFileError';
  readonly code = 'host-file';
}

/** Reads `{"id","token","controller"}`. A `controller` given besides it wins. Throws {@link HostFileError}. */
export const readHostFile = (path: string, controller?: string): HostIdentity => {
  let value: Partial<HostIdentity>;
  try {
    value = JSON.parse(readFileSync(path, 'utf8')) as Partial<HostIdentity>;
  } catch (cause) {
    throw new HostFileError(
      `Cannot read ${path}: create the host in the controller (POST /v1/hosts) and put its id and token there`,
      { cause },
    );
  }
  const { id, token } = value;
  const url = controller ?? value.controller;
  if (typeof id !== 'string' || typeof token !== 'string' || typeof url !== 'string' || !URL.canParse(url)) {
    throw new HostFileError(`${path} must hold "id", "token" and "controller" (a URL)`);
  }
  return { id, token, controller: url };
};
