/** The rules of the house, held by a test: import boundaries, the shape of features, the size of modules. */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import test from 'ava';

const ROOT = resolve(import.meta.dirname, '../..');
const LONGEST_MODULE = 500;

/** What oxlint says of one file with this text at this place in the house. */
const lint = (path: string, text: string): { readonly exitCode: number | null; readonly output: string } => {
  const house = mkdtempSync(join(tmpdir(), 'selvage-house-'));
  try {
    cpSync(join(ROOT, '.oxlintrc.json'), join(house, '.oxlintrc.json'));
    mkdirSync(join(house, dirname(path)), { recursive: true });
    writeFileSync(join(house, path), text);
    const { status, stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin/oxlint'), ['--quiet', '.'], {
      cwd: house,
      encoding: 'utf8',
    });
    return { exitCode: status, output: stdout + stderr };
  } finally {
    rmSync(house, { recursive: true, force: true });
  }
};

const impure = [
  "import { readFileSync } from 'node:fs';\nexport const x = (): string => readFileSync('/etc/hosts', 'utf8');\n",
  "import { spawn } from 'node:child_process';\nexport const x = spawn;\n",
  "import { openRouteSocket } from 'node-netlink';\nexport const x = openRouteSocket;\n",
  'export const x = (): number => Date.now();\n',
  'export const x = (): number => Math.random();\n',
  'export const x = (): void => {\n  setTimeout(() => {}, 1);\n};\n',
];
const pureHomes = [
  'packages/ip/src/x.ts',
  'packages/documents/src/router/x.ts',
  'controller/plan/x.ts',
  'controller/model/x.ts',
  'router/firewall/verify.ts',
  'router/firewall/render.ts',
  'router/dhcp/schema.ts',
  'host/fabric/diff.ts',
];

test('pure code that does I/O, reads the clock or draws numbers is refused by the linter', (t) => {
  for (const home of pureHomes)
    for (const text of impure) t.not(lint(home, text).exitCode, 0, `${home}: ${text}`);
});

test('the same text is allowed in the shell: the control', (t) => {
  for (const text of impure) {
    const { exitCode, output } = lint('router/firewall/apply.ts', text);
    t.is(exitCode, 0, output);
  }
});

/** Not a feature of its own: the table that the features of nftables share. */
const SHARED = 'ruleset';

test('every router feature is the same files', (t) => {
  const features = readdirSync(join(ROOT, 'router'), { withFileTypes: true }).filter(
    (entry) =>
      entry.isDirectory() &&
      entry.name !== SHARED &&
      existsSync(join(ROOT, 'router', entry.name, 'feature.ts')),
  );
  t.true(features.length >= 8, `features found: ${features.map(({ name }) => name).join(', ')}`);
  const list = readFileSync(join(ROOT, 'router/features.ts'), 'utf8');
  for (const { name } of features) {
    for (const file of ['schema.ts', 'verify.ts', 'render.ts', 'apply.ts'])
      t.true(existsSync(join(ROOT, 'router', name, file)), `router/${name}/${file}`);
    t.true(list.includes(`./${name}/feature.ts`), `${name} stands in router/features.ts`);
  }
});

test('no module is longer than people can hold', (t) => {
  const { stdout } = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const modules = stdout
    .split('\n')
    .filter(
      (path) =>
        path !== '' && !path.includes('/test/') && !path.startsWith('test/') && existsSync(join(ROOT, path)),
    );
  t.true(modules.length > 100);
  const long = modules
    .map((path) => [path, readFileSync(join(ROOT, path), 'utf8').split('\n').length] as const)
    .filter(([, lines]) => lines > LONGEST_MODULE);
  t.deepEqual(long, []);
});
