import test from 'ava';
import { applyRouterDocumentChange, type RouterDocument, type RouterDocumentChange } from 'documents';
import { routerDocument } from '../../deliver/router-document.ts';
import { touchRule } from '../../plan/touched.ts';
import type { Store } from '../../store/store.ts';
import { touchRouter } from '../../store/touch.ts';
import { addFirewallRule, ids, openRig } from './rig.ts';

const EXISTING = 30_000;
const id = (kind: string, index: number): string => `${kind}-${index.toString(36).padStart(12, '0')}`;

const fill = (store: Store): Promise<void> =>
  store.transaction(async (trx) => {
    await touchRouter(trx, ids.router, [{ collection: '*', itemId: '*' }]);
    const rule = { created_at: 1, network_id: ids.network, account_id: ids.account, generation: 2 };
    for (let start = 0; start < EXISTING; start += 1000) {
      const block = Array.from({ length: 1000 }, (_, index) => start + index);
      await trx
        .insertInto('firewall_rule')
        .values(
          block.map((index) => ({
            ...rule,
            id: id('fw', index),
            public_ip_id: ids.otherIp,
            protocol: 'tcp' as const,
            first_port: 1 + index,
            last_port: 1 + index,
            icmp_type: null,
            icmp_code: null,
            sources: '["0.0.0.0/0"]',
          })),
        )
        .execute();
      await trx
        .insertInto('port_forward')
        .values(
          block.map((index) => ({
            ...rule,
            id: id('pf', index),
            public_ip_id: ids.otherIp,
            port_id: ids.instancePort,
            protocol: 'tcp' as const,
            first_public_port: 1 + index,
            last_public_port: 1 + index,
            first_guest_port: 1 + index,
            last_guest_port: 1 + index,
          })),
        )
        .execute();
    }
  });

const percentile = (times: readonly number[], part: number): number =>
  times.toSorted((a, b) => a - b)[Math.floor((times.length - 1) * part)] ?? Number.NaN;

/** Times of `rounds` rule changes: the write of intent, planning of the delta in process, and its fetch over HTTP. */
test('a rule change costs what the change costs, however many rules there are', async (t) => {
  t.timeout(60_000);
  const { store, agent } = await openRig(t);
  const a = agent('a');
  const path = `/v1/agent/routers/${ids.router}/document`;
  const decryptPassword = (instance: string, text: string) => store.secrets.decrypt(text, instance);
  const measure = async (rounds: number, label: string) => {
    const plan: number[] = [];
    const fetched: number[] = [];
    let generation = 0;
    for (let round = 0; round < rounds; round += 1) {
      generation = await addFirewallRule(store, `fw-${label}${round}`, 40_000 + round);
      let started = performance.now();
      const answer = await routerDocument(store, ids.router, { since: generation - 1, decryptPassword });
      plan.push(performance.now() - started);
      t.is(answer.kind, 'change');
      started = performance.now();
      await a.call('GET', `${path}?since=${generation - 1}`);
      fetched.push(performance.now() - started);
    }
    return { plan, fetched, generation };
  };
  const few = await measure(50, 'few-x');
  await fill(store);
  const started = performance.now();
  const whole = (await a.call('GET', path)).body as RouterDocument;
  t.log(`whole document of ${EXISTING} + ${EXISTING} rules: ${(performance.now() - started).toFixed(0)} ms`);
  t.true(whole.portForwards.length === EXISTING && whole.firewallRules.length > EXISTING);
  const many = await measure(50, 'many-x');
  for (const [label, { plan, fetched }] of Object.entries({ few, many }))
    t.log(
      `${label}: delta planned p50 ${percentile(plan, 0.5).toFixed(2)} ms p99 ${percentile(plan, 0.99).toFixed(2)} ms, fetched p50 ${percentile(fetched, 0.5).toFixed(2)} ms p99 ${percentile(fetched, 0.99).toFixed(2)} ms`,
    );
  // Reading all 60,000 rows takes hundreds of ms: that would show here, other people's load on this machine would not.
  t.true(percentile(many.plan, 0.5) < percentile(few.plan, 0.5) * 4 + 5);
  const change = (await a.call('GET', `${path}?since=${whole.generation}`)).body as RouterDocumentChange;
  const now = (await a.call('GET', path)).body as RouterDocument;
  t.deepEqual(applyRouterDocumentChange(whole, change)?.firewallRules, now.firewallRules);

  // Many touched at once, over more than one chunk of the query.
  await store.transaction((trx) =>
    touchRouter(
      trx,
      ids.router,
      Array.from({ length: 2500 }, (_, index) => touchRule('firewallRules', id('fw', index))).flat(),
    ),
  );
  const big = (await a.call('GET', `${path}?since=${now.generation}`)).body as RouterDocumentChange;
  t.is(big.collections.firewallRules?.upsert.length, 2500);
});
