/** Real DHCP clients in a guest, and what they were told. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from './network.ts';

export type Offer = Readonly<Record<string, string>>;

const variables = (text: string): Offer =>
  Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : [];
    }),
  );

const withScript = async <Result>(
  text: string,
  use: (script: string, folder: string) => Promise<Result>,
): Promise<Result> => {
  const folder = mkdtempSync(join(tmpdir(), 'svt-dhcp-'));
  const script = join(folder, 'script');
  writeFileSync(script, text);
  chmodSync(script, 0o755);
  try {
    return await use(script, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** busybox udhcpc: what it was given, null when it got nothing in `tries` seconds. It does not set the address. */
export const udhcpc = (machine: Machine, tries = 3): Promise<Offer | null> =>
  withScript('#!/bin/sh\n[ "$1" = bound ] && env\nexit 0\n', async (script) => {
    const args = [
      'udhcpc',
      '-i',
      machine.device,
      '-f',
      '-q',
      '-n',
      '-t',
      String(tries),
      '-T',
      '1',
      '-s',
      script,
      '-O',
      'mtu',
    ];
    const { exitCode, stdout } = await machine.run('/usr/bin/busybox', args);
    return exitCode === 0 ? variables(stdout) : null;
  });

/** ISC dhclient, likewise. */
export const dhclient = (machine: Machine, tries = 8): Promise<Offer | null> =>
  withScript(
    '#!/bin/sh\n[ "$reason" = BOUND ] && env > "$(dirname "$0")/bound.new" && mv "$(dirname "$0")/bound.new" "$(dirname "$0")/bound"\nexit 0\n',
    async (script, folder) => {
      const at = (name: string): string => join(folder, name);
      writeFileSync(at('conf'), 'retry 1;\n');
      // In front (-d): it would otherwise stay behind as a daemon that nobody knows the pid of.
      const files = ['-sf', script, '-lf', at('leases'), '-pf', at('pid'), '-cf', at('conf')];
      const client = spawn(
        '/usr/sbin/ip',
        ['netns', 'exec', machine.namespace, '/usr/sbin/dhclient', '-d', '-4', ...files, machine.device],
        { stdio: 'ignore' },
      );
      try {
        for (let waited = 0; waited < tries * 50 && !existsSync(at('bound')); waited += 1) await sleep(20);
        return existsSync(at('bound')) ? variables(readFileSync(at('bound'), 'utf8')) : null;
      } finally {
        const ended = once(client, 'exit');
        client.kill('SIGKILL');
        await ended;
      }
    },
  );
