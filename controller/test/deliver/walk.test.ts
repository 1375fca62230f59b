import test from 'ava';
import { applyRouterDocumentChange, type RouterDocument, verifyRouterDocument } from 'documents';
import fc from 'fast-check';
import { routerDocument } from '../../deliver/router-document.ts';
import { type Touch, touchGuestPort, touchPublicIp, touchRule, touchStaticNat } from '../../plan/touched.ts';
import type { Store } from '../../store/store.ts';
import { touchRouter } from '../../store/touch.ts';
import type { Trx } from '../../store/transaction.ts';
import { ids, openRig } from './rig.ts';

/** One kind of intent: put there and taken away as the API does it. Both return what they touched. */
interface Intent {
  readonly add: (trx: Trx, slot: number) => Promise<readonly Touch[]>;
  readonly remove: (trx: Trx, slot: number) => Promise<readonly Touch[]>;
}

const owned = { created_at: 1, network_id: ids.network, account_id: ids.account, generation: 1 };
const any = { first_port: null, last_port: null, icmp_type: null, icmp_code: null };

const intents: Readonly<Record<string, Intent>> = {
  firewall: {
    add: async (trx, slot) => {
      await trx
        .insertInto('firewall_rule')
        .values({
          ...owned,
          ...any,
          id: `fw-${slot}`,
          public_ip_id: ids.otherIp,
          protocol: 'tcp',
          first_port: 100 + slot,
          sources: '["0.0.0.0/0"]',
        })
        .execute();
      return touchRule('firewallRules', `fw-${slot}`);
    },
    remove: async (trx, slot) => {
      await trx.deleteFrom('firewall_rule').where('id', '=', `fw-${slot}`).execute();
      return touchRule('firewallRules', `fw-${slot}`);
    },
  },
  egress: {
    add: async (trx, slot) => {
      await trx
        .insertInto('egress_rule')
        .values({
          ...owned,
          ...any,
          id: `eg-${slot}`,
          protocol: 'all',
          sources: '["10.1.1.0/24"]',
          destinations: `["192.0.2.${slot}/32"]`,
        })
        .execute();
      return touchRule('egressRules', `eg-${slot}`);
    },
    remove: async (trx, slot) => {
      await trx.deleteFrom('egress_rule').where('id', '=', `eg-${slot}`).execute();
      return touchRule('egressRules', `eg-${slot}`);
    },
  },
  forward: {
    add: async (trx, slot) => {
      await trx
        .insertInto('port_forward')
        .values({
          ...owned,
          id: `pf-${slot}`,
          public_ip_id: ids.otherIp,
          port_id: ids.instancePort,
          protocol: 'udp',
          first_public_port: 10 * slot + 1,
          last_public_port: 10 * slot + 5,
          first_guest_port: 1,
          last_guest_port: 5,
        })
        .execute();
      return touchRule('portForwards', `pf-${slot}`);
    },
    remove: async (trx, slot) => {
      await trx.deleteFrom('port_forward').where('id', '=', `pf-${slot}`).execute();
      return touchRule('portForwards', `pf-${slot}`);
    },
  },
  /** A public address with static NAT on it: the leg, the NAT and what the guest is told. */
  staticNat: {
    add: async (trx, slot) => {
      await trx
        .insertInto('public_ip')
        .values({
          ...owned,
          id: `pip-${slot}`,
          zone_id: ids.zone,
          range_id: ids.range,
          address: `198.51.100.${20 + slot}`,
          source_nat: 0,
        })
        .execute();
      const touched = touchPublicIp(ids.publicPort, ids.guestPort, false);
      const taken = await trx
        .selectFrom('static_nat')
        .select('id')
        .where('port_id', '=', ids.instancePort)
        .executeTakeFirst();
      if (taken !== undefined) return touched;
      await trx
        .insertInto('static_nat')
        .values({ ...owned, id: `sn-${slot}`, public_ip_id: `pip-${slot}`, port_id: ids.instancePort })
        .execute();
      return [...touched, ...touchStaticNat(`sn-${slot}`, ids.instancePort)];
    },
    remove: async (trx, slot) => {
      await trx.deleteFrom('static_nat').where('id', '=', `sn-${slot}`).execute();
      await trx.deleteFrom('public_ip').where('id', '=', `pip-${slot}`).execute();
      return [
        ...touchPublicIp(ids.publicPort, ids.guestPort, false),
        ...touchStaticNat(`sn-${slot}`, ids.instancePort),
      ];
    },
  },
  balancer: {
    add: async (trx, slot) => {
      await trx
        .insertInto('load_balancer')
        .values({
          ...owned,
          id: `lb-${slot}`,
          name: `lb-${slot}`,
          public_ip_id: ids.otherIp,
          port: 1000 + slot,
          protocol: 'tcp',
          algorithm: 'source',
        })
        .execute();
      await trx
        .insertInto('load_balancer_member')
        .values({
          id: `mem-${slot}`,
          load_balancer_id: `lb-${slot}`,
          port_id: ids.instancePort,
          guest_port: 80,
          draining: slot % 2,
        })
        .execute();
      return touchRule('loadBalancers', `lb-${slot}`);
    },
    remove: async (trx, slot) => {
      await trx.deleteFrom('load_balancer').where('id', '=', `lb-${slot}`).execute();
      return touchRule('loadBalancers', `lb-${slot}`);
    },
  },
  guest: {
    add: async (trx, slot) => {
      await trx
        .insertInto('instance')
        .values({
          created_at: 1,
          id: `ins-${slot}`,
          account_id: ids.account,
          zone_id: ids.zone,
          host_id: ids.hosts.b,
          name: `guest-${slot}`,
          hostname: `guest-${slot}`,
          wanted_state: 'running',
          user_data: '',
          public_keys: '[]',
          meta_data: '{}',
          password: null,
        })
        .execute();
      await trx
        .insertInto('port')
        .values({
          created_at: 1,
          id: `port-${slot}`,
          network_id: ids.network,
          role: 'guest',
          instance_id: `ins-${slot}`,
          router_id: null,
          mac: `02:00:00:00:02:0${slot}`,
          address: `10.1.1.${50 + slot}`,
        })
        .execute();
      return touchGuestPort(`port-${slot}`);
    },
    remove: async (trx, slot) => {
      await trx.deleteFrom('port').where('id', '=', `port-${slot}`).execute();
      await trx.deleteFrom('instance').where('id', '=', `ins-${slot}`).execute();
      return touchGuestPort(`port-${slot}`);
    },
  },
};

const arbitraryWalk = fc.array(
  fc.record({
    kind: fc.constantFrom(...Object.keys(intents)),
    slot: fc.integer({ min: 0, max: 4 }),
    fetch: fc.boolean(),
  }),
  { minLength: 5, maxLength: 40 },
);

const whole = async (store: Store): Promise<RouterDocument> => {
  const answer = await routerDocument(store, ids.router, {
    decryptPassword: (instance, text) => store.secrets.decrypt(text, instance),
  });
  if (answer.kind !== 'document') throw new Error(`asked for a document, got ${answer.kind}`);
  return answer.document;
};

test('whoever follows the changes has the document, whatever was done and whenever they asked', async (t) => {
  t.timeout(120_000);
  const { store } = await openRig(t);
  const present = new Set<string>();
  let held = await whole(store);
  let changes = 0;
  await fc.assert(
    fc.asyncProperty(arbitraryWalk, async (walk) => {
      for (const { kind, slot, fetch } of walk) {
        const intent = intents[kind];
        if (intent === undefined) continue;
        const key = `${kind} ${slot}`;
        await store.transaction(async (trx) => {
          const touches = present.has(key) ? await intent.remove(trx, slot) : await intent.add(trx, slot);
          await touchRouter(trx, ids.router, touches);
        });
        if (!present.delete(key)) present.add(key);
        if (!fetch) continue;
        const answer = await routerDocument(store, ids.router, {
          since: held.generation,
          decryptPassword: (instance, text) => store.secrets.decrypt(text, instance),
        });
        if (answer.kind !== 'change') throw new Error(`a change was due, got ${answer.kind}`);
        const next = applyRouterDocumentChange(held, answer.change);
        if (next === null) throw new Error('the change starts elsewhere');
        changes += 1;
        held = next;
        t.deepEqual(held, await whole(store));
        t.deepEqual(verifyRouterDocument(held), []);
      }
    }),
    { numRuns: 20 },
  );
  t.log(`${changes} changes followed`);
  t.true(changes > 50);
});
