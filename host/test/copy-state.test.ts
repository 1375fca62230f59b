import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { AgentFrame } from 'documents';
import { idOf } from './fixtures/documents.ts';
import { applied, rigWith, wanted } from './fixtures/router-chain.ts';

test.serial(
  'state is carried from router to router, whatever its size; what goes wrong is said',
  async (t) => {
    const rig = await rigWith(t, 2);
    rig.controller.document = wanted(1, { segments: [1], routers: [1, 2], active: 1 });
    await rig.agent();
    await rig.controller.ready(1);
    await Promise.all([applied(rig, 1), applied(rig, 2)]);
    const folder = (number: number) => join(rig.state, 'host', 'routers', idOf('rtr', number));
    const ask = (params: Record<string, unknown>): Promise<AgentFrame> =>
      rig.controller.ask({ type: 'request', method: 'copy-state', params });
    const pair = { from: idOf('rtr', 1), to: idOf('rtr', 2) };
    t.like(await ask(pair), { problem: { code: 'router-refused', pointer: '/params/from' } });
    const entry = { protocol: 'tcp', note: 'x'.repeat(300) };
    const state = JSON.stringify({ conntrack: Array.from({ length: 30_000 }, () => entry), neighbours: [] });
    writeFileSync(join(folder(1), 'handover-state.json'), state);
    t.like(await ask(pair), { result: { inserted: 30_000, present: 0, refused: [] } });
    t.is(readFileSync(join(folder(2), 'handover-taken.json'), 'utf8'), state);
    t.like(await ask({ ...pair, to: 'rtr-none' }), {
      problem: { code: 'no-such-router', pointer: '/params/to' },
    });
    t.like(await ask({ ...pair, from: 'rtr-none' }), {
      problem: { code: 'no-such-router', pointer: '/params/from' },
    });
    t.like(await ask({ from: pair.from }), { problem: { code: 'bad-request' } });
    writeFileSync(join(folder(1), 'handover-state.json'), Buffer.alloc(65 * 1024 * 1024, 0x20));
    t.like(await ask(pair), { problem: { code: 'no-answer', pointer: '/params/from' } });
  },
);
