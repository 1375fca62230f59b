import { execFileSync } from 'node:child_process';
import { type KernelNftables, openNftables, type OpenNftablesOptions } from '../../src/index.ts';

let made = 0;

/** A network namespace of the test's own, removed by `teardown`. */
export function namespace(teardown: (undo: () => void) => void): string {
  made += 1;
  const name = `svt${process.pid}-${made}`;
  execFileSync('ip', ['netns', 'add', name]);
  teardown(() => execFileSync('ip', ['netns', 'del', name]));
  return `/run/netns/${name}`;
}

/** The ruleset of a namespace of the test's own. */
export function kernel(
  teardown: (undo: () => void | Promise<void>) => void,
  options: OpenNftablesOptions = {},
): KernelNftables & { readonly netns: string } {
  const netns = namespace(teardown);
  const nft = openNftables({ netns, ...options });
  teardown(() => nft.close());
  return Object.assign(nft, { netns });
}
