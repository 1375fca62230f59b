/** What a router machine in a namespace is made from: the programs of this host it runs with. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';

/**
 * Counts up when what the agent itself gives a router machine changes in a way that only a fresh one has: how its
 * namespace is laid out, what its daemon is started with.
 */
const LAYOUT = 1;

const programs = [
  ['haproxy', '/usr/sbin/haproxy', '-v'],
  ['dnsmasq', '/usr/sbin/dnsmasq', '--version'],
  ['nft', '/usr/sbin/nft', '--version'],
] as const;

/** The first version number a program names, `none` when it cannot be run. */
const versionOf = (path: string, argument: string): string => {
  try {
    const text = execFileSync(path, [argument], { timeout: 10_000, stdio: ['ignore', 'pipe', 'ignore'] });
    return /\d+\.\d+[0-9A-Za-z.+~-]*/.exec(text.toString())?.[0] ?? 'unknown';
  } catch {
    return 'none';
  }
};

/** Which file it is, so that an upgrade is noticed. */
const fileOf = (path: string): string => {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? 'none' : `${found.ino}/${found.mtimeMs}`;
};

/** Programs are asked for their versions once, and again when their files have changed. */
export class MachineImage {
  #files = '';
  #text = '';

  /** `namespace/1 node/24.21.0 haproxy/2.6.12 dnsmasq/2.90 nft/1.0.6` */
  get text(): string {
    const files = programs.map(([, path]) => fileOf(path)).join(' ');
    if (files !== this.#files) {
      const versions = programs.map(([name, path, argument]) => `${name}/${versionOf(path, argument)}`);
      this.#text = [`namespace/${LAYOUT}`, `node/${process.versions.node}`, ...versions]
        .join(' ')
        .slice(0, 200);
      this.#files = files;
    }
    return this.#text;
  }
}
