import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { CliError, findConnection } from '../connection.ts';

test('flags win over the environment, the environment over the stack of the state directory', (t) => {
  const state = mkdtempSync(join(tmpdir(), 'selvage-cli-'));
  t.teardown(() => rmSync(state, { recursive: true }));
  t.throws(() => findConnection({ state }, {}), { instanceOf: CliError, message: /No Selvage controller/ });
  writeFileSync(
    join(state, 'stack.json'),
    JSON.stringify({ url: 'http://127.0.0.1:1', pid: 1, prefix: 'sv' }),
  );
  t.throws(() => findConnection({ state }, {}), { instanceOf: CliError, message: /No API key/ });
  writeFileSync(join(state, 'admin.key'), 'svk_local\n');
  t.deepEqual(findConnection({ state }, {}), { url: 'http://127.0.0.1:1', key: 'svk_local' });
  t.deepEqual(findConnection({ state }, { SELVAGE_URL: 'http://127.0.0.1:2/', SELVAGE_API_KEY: 'svk_env' }), {
    url: 'http://127.0.0.1:2',
    key: 'svk_env',
  });
  t.deepEqual(
    findConnection(
      { state, url: 'http://127.0.0.1:3', key: 'svk_flag' },
      { SELVAGE_URL: 'http://127.0.0.1:2' },
    ),
    { url: 'http://127.0.0.1:3', key: 'svk_flag' },
  );
});
