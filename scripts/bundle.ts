/**
 * Bundles the router daemon and its nftables helper into `build/`, so that a start reads two files and not two hundred.
 * Does nothing, quickly, when no source is newer than what it made.
 */
import type { Plugin } from 'esbuild';
import { isBuiltin } from 'node:module';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const output = join(root, 'build');
/** What the last bundle was made from: path to modification time, ms. */
const record = join(output, 'inputs.json');

interface Inputs {
  readonly files: Readonly<Record<string, number>>;
}

const modified = (path: string): number => {
  try {
    return statSync(join(root, path)).mtimeMs;
  } catch {
    return -1;
  }
};

/**
 * Takes Node's own modules as they are instead of importing them: an import reads every export, and reading those of
 * `node:http` alone loads a whole HTTP client. Saves a third of the daemon's start.
 */
const builtins: Plugin = {
  name: 'builtins',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^(node:)?[a-z_]+(\/[a-z_]+)*$/ }, ({ path }) =>
      isBuiltin(path) && path !== 'node:module' && path !== 'module' ? { path, namespace: 'builtin' } : null,
    );
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

const isCurrent = (): boolean => {
  if (!existsSync(record)) return false;
  const { files } = JSON.parse(readFileSync(record, 'utf8')) as Inputs;
  return Object.entries(files).every(([path, time]) => modified(path) === time);
};

/** Makes `build/router.mjs` and `build/nft-helper.mjs` when they are not current, and returns the first. */
export const bundleRouter = async (): Promise<string> => {
  const entry = join(output, 'router.mjs');
  if (existsSync(entry) && isCurrent()) return entry;
  const { build } = await import('esbuild');
  mkdirSync(output, { recursive: true });
  for (const name of readdirSync(output)) {
    if (/^(chunk-.*|router|nft-helper)\.mjs$/.test(name)) rmSync(join(output, name));
  }
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { router: 'router/main.ts', 'nft-helper': 'packages/nftables-json/src/helper/main.ts' },
    outdir: output,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    chunkNames: 'chunk-[name]-[hash]',
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    legalComments: 'none',
    external: ['koffi'],
    // CommonJS packages inside ask for `require`.
    banner: { js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);" },
    plugins: [builtins],
    metafile: true,
    logLevel: 'warning',
  });
  const files = Object.fromEntries(
    [...Object.keys(metafile.inputs).filter((path) => !path.startsWith('builtin:')), 'scripts/bundle.ts', 'package-lock.json'].map((path) => {
      const name = relative(root, join(root, path));
      return [name, modified(name)];
    }),
  );
  writeFileSync(record, JSON.stringify({ files } satisfies Inputs));
  return entry;
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const started = performance.now();
  const entry = await bundleRouter();
  console.log(`${relative(root, entry)} (${(performance.now() - started).toFixed(0)} ms)`);
}
