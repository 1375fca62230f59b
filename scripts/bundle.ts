/**
 * Bundles the router daemon and its nftables helper into `build/`, so that a start reads two files and not two hundred.
 * Does nothing, quickly, when no source is newer than what it made.
 */
import type { Plugin } from 'esbuild';
import { isBuiltin } from 'node:module';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const output = join(root, 'build');
/** What the last bundle was made from: path to modification time, ms. */
const record = join(output, 'inputs.json');

/** Age at which parts of earlier bundles are removed, ms. */
const STALE = 60_000;

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
  const started = Date.now();
  const { build } = await import('esbuild');
  mkdirSync(output, { recursive: true });
  const { metafile, outputFiles } = await build({
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
    // What is in the text of a program is in the memory of every router. Lines stay short enough to be found again.
    minifyWhitespace: true,
    lineLimit: 160,
    legalComments: 'none',
    external: ['koffi'],
    // CommonJS packages inside ask for `require`.
    banner: {
      js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
    },
    plugins: [builtins],
    metafile: true,
    write: false,
    logLevel: 'warning',
  });
  // Routers are started meanwhile: a file is there whole, and the entries come after what they load.
  const isChunk = (path: string): boolean => basename(path).startsWith('chunk-');
  for (const { path, contents } of outputFiles.toSorted(
    (a, b) => Number(isChunk(b.path)) - Number(isChunk(a.path)),
  )) {
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, contents);
    renameSync(draft, path);
  }
  const current = new Set(outputFiles.map(({ path }) => basename(path)));
  for (const name of readdirSync(output)) {
    if (current.has(name) || !name.startsWith('chunk-')) continue;
    // Somebody may have read the old entry and be about to load this.
    if (Date.now() - statSync(join(output, name)).mtimeMs > STALE)
      rmSync(join(output, name), { force: true });
  }
  const files = Object.fromEntries(
    [
      ...Object.keys(metafile.inputs).filter((path) => !path.startsWith('builtin:')),
      'scripts/bundle.ts',
      'package-lock.json',
    ].map((path) => {
      const name = relative(root, join(root, path));
      const time = modified(name);
      // Changed while it was read: what is in the bundle may be the older text.
      return [name, time >= started ? 0 : time];
    }),
  );
  writeFileSync(`${record}.${process.pid}`, JSON.stringify({ files } satisfies Inputs));
  renameSync(`${record}.${process.pid}`, record);
  return entry;
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const started = performance.now();
  const entry = await bundleRouter();
  console.log(`${relative(root, entry)} (${(performance.now() - started).toFixed(0)} ms)`);
}
