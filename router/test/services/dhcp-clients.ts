/** Real DHCP clients in a guest, and what they were told. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Machine } from './network.ts';

export type Offer = Readonly<Record<string, string>>;

const variables = (text: string): Offer =>
  Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)]] : [];
    }),
  );

const withScript = async <Result>(text: string, use: (script: string, folder: string) => Promise<Result>): Promise<Result> => {
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
    const args = ['udhcpc', '-i', machine.device, '-f', '-q', '-n', '-t', String(tries), '-T', '1', '-s', script, '-O', 'mtu'];
    const { exitCode, stdout } = await machine.run('/usr/bin/busybox', args);
    return exitCode === 0 ? variables(stdout) : null;
  });

/** ISC dhclient, likewise; `release` gives the lease back. */
export const dhclient = (machine: Machine): Promise<Offer | null> =>
  withScript(
    '#!/bin/sh\nif [ "$reason" = BOUND ]; then env >> "$(dirname "$0")/bound"; fi\nexit 0\n',
    async (script, folder) => {
      writeFileSync(join(folder, 'conf'), 'timeout 8;\nretry 1;\n');
      const { stdout } = await machine.run('/bin/sh', [
        '-c',
        // dhclient stays behind as a daemon after binding; -d would keep it in front for ever, so it is ended by its pid file.
        'dhclient -1 -4 -sf "$1/script" -lf "$1/leases" -pf "$1/pid" -cf "$1/conf" "$2" >/dev/null 2>&1; [ -f "$1/pid" ] && kill "$(cat "$1/pid")" 2>/dev/null; cat "$1/bound" 2>/dev/null',
        'sh',
        folder,
        machine.device,
      ]);
      const offer = variables(stdout);
      return script !== '' && offer['new_ip_address'] !== undefined ? offer : null;
    },
  );
