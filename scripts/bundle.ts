/**
 * Makes the router's bundle, `build/router.mjs`: the daemon and its nftables helper in one signed file (docs/decisions/0012).
 * Does nothing, quickly, when no source is newer than what it made.
 *
 * Signed with the key in the file that SELVAGE_SIGNING_KEY names (PEM, Ed25519), else with `build/signing.key`, made once;
 * `build/signing.pub` is the public half of the key last used.
 */
import type { Plugin } from 'esbuild';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { isBuiltin } from 'node:module';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { keyId, sealBundle } from 'signed-bundle';

const root = fileURLToPath(new URL('..', import.meta.url));
const output = join(root, 'build');
/** What the last bundle was made from. */
const record = join(output, 'inputs.json');

interface Inputs {
  /** Path to modification time, ms. */
  readonly files: Readonly<Record<string, number>>;
  readonly keyId: string;
}

const modified = (path: string): number => {
  try {
    return statSync(join(root, path)).mtimeMs;
  } catch {
    return -1;
  }
};

/** A file is there whole or not at all: routers are started meanwhile. */
const replaceFile = (path: string, content: string | Buffer, mode = 0o644): void => {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, content, { mode });
  renameSync(draft, path);
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

/**
 * Two programs in one file, of which one is run: functions that are not called cost little more than their text. What stays
 * outside (koffi has a native part) is required, as only `require` looks along NODE_PATH, wherever the bundle lies.
 */
const wrapped = (daemon: string, helper: string): string => `import { createRequire } from 'node:module';
const bundleUrl = import.meta.url;
const require = createRequire(bundleUrl);
const runHelper = () => {
${helper}};
const runDaemon = () => {
${daemon}};
if (process.argv[2] === '--nft-helper') {
  process.argv.splice(2, 1);
  runHelper();
} else runDaemon();
`;

/** The key that bundles are signed with; made when there is none. */
const signingKey = (): KeyObject => {
  const given = process.env['SELVAGE_SIGNING_KEY'];
  const path = given ?? join(output, 'signing.key');
  if (given === undefined && !existsSync(path)) {
    const draft = `${path}.${process.pid}`;
    const { privateKey } = generateKeyPairSync('ed25519');
    writeFileSync(draft, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    try {
      // Unlike a rename it leaves a key alone that another has made meanwhile.
      linkSync(draft, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(draft);
    }
  }
  const key = createPrivateKey(readFileSync(path));
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`${path} is no Ed25519 key`);
  return key;
};

const isCurrent = (key: string): boolean => {
  try {
    const made = JSON.parse(readFileSync(record, 'utf8')) as Inputs;
    return made.keyId === key && Object.entries(made.files).every(([path, time]) => modified(path) === time);
  } catch {
    return false;
  }
};

/** Makes `build/router.mjs` when it is not current, and returns its path. */
export const bundleRouter = async (): Promise<string> => {
  const entry = join(output, 'router.mjs');
  mkdirSync(output, { recursive: true });
  const privateKey = signingKey();
  const publicKey = createPublicKey(privateKey);
  if (existsSync(entry) && isCurrent(keyId(publicKey))) return entry;
  const started = Date.now();
  const { build } = await import('esbuild');
  const files = new Map<string, number>();
  const program = async (entryPoint: string): Promise<string> => {
    const { metafile, outputFiles } = await build({
      absWorkingDir: root,
      entryPoints: [entryPoint],
      outfile: entry,
      bundle: true,
      platform: 'node',
      target: 'node24',
      format: 'cjs',
      define: { 'import.meta.url': 'bundleUrl' },
      minifySyntax: true,
      // What is in the text of a program is in the memory of every router. Lines stay short enough to be found again.
      minifyWhitespace: true,
      lineLimit: 160,
      legalComments: 'none',
      plugins: [builtins],
      external: ['koffi'],
      metafile: true,
      write: false,
      logLevel: 'warning',
    });
    for (const path of Object.keys(metafile.inputs)) {
      if (path.startsWith('builtin:')) continue;
      const name = relative(root, join(root, path));
      const time = modified(name);
      // Changed while it was read: what is in the bundle may be the older text.
      files.set(name, time >= started ? 0 : time);
    }
    return outputFiles[0]?.text ?? '';
  };
  const [daemon, helper] = await Promise.all([
    program('router/start.ts'),
    program('packages/nftables-json/src/helper/main.ts'),
  ]);
  const code = Buffer.from(wrapped(daemon, helper));
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const digest = createHash('sha256').update(code).digest('hex').slice(0, 8);
  replaceFile(join(output, 'signing.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
  replaceFile(entry, sealBundle(code, { version: `${version}+${digest}`, privateKey }));
  for (const name of ['scripts/bundle.ts', 'package.json', 'package-lock.json'])
    files.set(name, modified(name));
  replaceFile(
    record,
    JSON.stringify({ files: Object.fromEntries(files), keyId: keyId(publicKey) } satisfies Inputs),
  );
  // What bundles of several files have left.
  for (const name of readdirSync(output)) {
    if (/^(chunk-.*|nft-helper)\.mjs$/.test(name)) rmSync(join(output, name), { force: true });
  }
  return entry;
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const started = performance.now();
  const entry = await bundleRouter();
  console.log(`${relative(root, entry)} (${(performance.now() - started).toFixed(0)} ms)`);
}
