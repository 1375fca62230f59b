/** The host agent as a program. */
import { accessSync, mkdirSync, readFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { statePathProblem } from './state-path.ts';

const usage = `Usage: node host/main.ts [options]

  --controller URL   of the controller (default: what host.json says)
  --state DIR        state directory of the stack (default /var/lib/selvage)
  --prefix NAME      begins the names of namespaces (default sv)
  --host-file FILE   id and token of this host (default DIR/host/host.json)
  --bundle FILE      router daemon (default: build/router.mjs of this project)
  --trusted-keys FILE  public keys (PEM) of those who may sign other bundles
`;

const fail = (message: string): never => {
  process.stderr.write(`selvage host: ${message}\n`);
  process.exit(1);
};

const options = () => {
  try {
    return parseArgs({
      options: {
        controller: { type: 'string' },
        state: { type: 'string', default: '/var/lib/selvage' },
        prefix: { type: 'string', default: 'sv' },
        'host-file': { type: 'string' },
        bundle: { type: 'string', default: fileURLToPath(new URL('../build/router.mjs', import.meta.url)) },
        'trusted-keys': { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`);
  }
};

const values = options();
if (values.help) {
  process.stdout.write(usage);
  process.exit(0);
}
if (process.getuid?.() !== 0) fail('makes network namespaces and needs root');
if (!/^[a-z][a-z0-9-]{0,31}$/.test(values.prefix)) {
  fail(`--prefix ${JSON.stringify(values.prefix)}: lower-case letters, digits and hyphens, at most 32`);
}
const state = resolve(values.state);
const tooLong = statePathProblem(state);
if (tooLong !== null) fail(tooLong);
try {
  accessSync(values.bundle);
} catch {
  fail(`there is no router daemon at ${values.bundle}; "npm run bundle" makes it`);
}

const trustedKeys = await (async () => {
  const file = values['trusted-keys'];
  if (file === undefined) return [];
  const { readKeys } = await import('signed-bundle');
  try {
    return readKeys(readFileSync(file, 'utf8'));
  } catch (error) {
    return fail(`--trusted-keys ${file}: ${(error as Error).message}`);
  }
})();

mkdirSync(join(state, 'host'), { recursive: true, mode: 0o700 });
// Before the rest is loaded: code compiled at the last start saves 0.2 s and 20 MB of compiler.
enableCompileCache(join(state, 'host', 'compile-cache'));
const { pino } = await import('pino');
const { HostAgent } = await import('./agent.ts');
const { HostFileError, readHostFile } = await import('./document/host-file.ts');

const log = pino({ base: null });
try {
  const agent = new HostAgent({
    identity: readHostFile(values['host-file'] ?? join(state, 'host', 'host.json'), values.controller),
    state,
    prefix: values.prefix,
    router: { node: process.execPath, bundle: values.bundle },
    trustedKeys,
    log,
  });
  const end = (signal: string) => {
    log.info({ signal }, 'ends; machines go on');
    void agent.close().then(() => process.exit(0));
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
  await agent.start();
  log.info({ prefix: values.prefix, state }, 'host agent runs');
} catch (error) {
  if (error instanceof HostFileError) fail(error.message);
  throw error;
}
