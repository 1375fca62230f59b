import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { applyRouterDocumentChange } from 'documents';
import { routerDocument } from '../../deliver/router-document.ts';
import { openStore } from '../../store/store.ts';
import { ids, seed } from './rig.ts';

test('after kill -9 amid writes nothing acknowledged is lost, and changes still lead to the document', async (t) => {
  t.timeout(60_000);
  const directory = mkdtempSync(join(tmpdir(), 'selvage-kill-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const options = {
    decryptPassword: () => 's3cret-word',
  };
  const fresh = await openStore({ directory });
  await seed(fresh);
  const first = await routerDocument(fresh, ids.router, options);
  await fresh.close();
  if (first.kind !== 'document') throw new Error('no document');
  let held = first.document;
  for (let round = 0; round < 3; round += 1) {
    const child = spawn(process.execPath, [
      fileURLToPath(new URL('fixtures/writer.ts', import.meta.url)),
      directory,
    ]);
    t.teardown(() => child.kill('SIGKILL'));
    let said = '';
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString();
    });
    child.stderr.resume();
    for (let wait = 0; wait < 1000 && said.split('\n').length < 20; wait += 1)
      await new Promise((resolve) => setTimeout(resolve, 10));
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    const acknowledged = Number(said.trim().split('\n').at(-1));
    const store = await openStore({ directory });
    try {
      const answer = await routerDocument(store, ids.router, { ...options, since: held.generation });
      const whole = await routerDocument(store, ids.router, options);
      if (answer.kind !== 'change' || whole.kind !== 'document')
        throw new Error(`${answer.kind}, ${whole.kind}`);
      t.true(acknowledged > held.generation);
      t.true(whole.generation >= acknowledged);
      t.deepEqual(applyRouterDocumentChange(held, answer.change), whole.document);
      held = whole.document;
      await store.db.deleteFrom('firewall_rule').execute();
      held = { ...held, firewallRules: [] };
    } finally {
      await store.close();
    }
  }
});
