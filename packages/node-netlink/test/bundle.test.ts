import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { build } from 'esbuild';
import { scratchNamespace } from './support/scratch-namespaces.ts';

test('one file of it works, with koffi left outside', async (t) => {
  const netns = scratchNamespace(t);
  // Beside the tests, so that koffi is found from there.
  const folder = mkdtempSync(join(import.meta.dirname, 'bundle-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const outfile = join(folder, 'bundle.mjs');
  await build({
    stdin: {
      contents: `import { links, openRouteSocket } from 'node-netlink';
        process.stdout.write(openRouteSocket({ netns: ${JSON.stringify(netns)} }).send(links.get({ name: 'lo' })).name);`,
      resolveDir: import.meta.dirname,
      loader: 'ts',
    },
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    external: ['koffi'],
    logLevel: 'silent',
  });
  t.true(statSync(outfile).size < 200_000);
  const run = spawnSync(process.execPath, [outfile], { encoding: 'utf8' });
  t.is(run.stdout, 'lo', run.stderr);
});
