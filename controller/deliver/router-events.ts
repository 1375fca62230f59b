import type { RouterEvent } from 'documents';
import { recordEvent } from '../store/events.ts';
import { advanceOperation, type WaitsFor } from '../store/operations.ts';
import type { Store } from '../store/store.ts';
import { touchRouter } from '../store/touch.ts';
import type { Trx } from '../store/transaction.ts';
import { touchGuestPort } from '../plan/touched.ts';

/**
 * Takes events of a host and its routers. Returns how many were new: repeats are recognised by their ids, and what is
 * about things that are not on this host is dropped.
 */
export const takeRouterEvents = (
  store: Store,
  host: string,
  events: readonly RouterEvent[],
): Promise<number> =>
  store.transaction(async (trx) => {
    let fresh = 0;
    for (const event of events) {
      const subject = await subjectOf(trx, host, event.subject);
      if (subject === undefined) continue;
      const recorded = await recordEvent(trx, {
        id: event.id,
        time: event.time,
        account: subject.account,
        type: event.type,
        level: event.level,
        resource: subject.instance ?? event.subject,
        message: event.message,
      });
      if (!recorded) continue;
      fresh += 1;
      if (event.type === 'guest.password-saved' && subject.instance !== undefined)
        await erasePassword(trx, subject.instance);
      if (event.type === 'host.router-document-refused') await failRefused(trx, event);
    }
    return fresh;
  });

interface Subject {
  /** Null: the host's own affair, for administrators. */
  readonly account: string | null;
  /** The instance, when it is about one or its port. */
  readonly instance?: string;
}

/** Tables whose rows a router may speak of, by prefix of the id. All belong to a network. */
const ofNetwork = {
  fw: 'firewall_rule',
  eg: 'egress_rule',
  pf: 'port_forward',
  sn: 'static_nat',
  lb: 'load_balancer',
  pip: 'public_ip',
} as const;

/** Whose affair an event is; undefined when its subject has nothing to do with this host. */
const subjectOf = async (trx: Trx, host: string, id: string): Promise<Subject | undefined> => {
  if (id === host) return { account: null };
  const kind = id.slice(0, id.indexOf('-'));
  switch (kind) {
    case 'rtr': {
      const row = await trx
        .selectFrom('router')
        .innerJoin('network', 'network.id', 'router.network_id')
        .select('network.account_id')
        .where('router.id', '=', id)
        .where('router.host_id', '=', host)
        .executeTakeFirst();
      return row && { account: row.account_id };
    }
    case 'net': {
      const row = await trx
        .selectFrom('router')
        .innerJoin('network', 'network.id', 'router.network_id')
        .select('network.account_id')
        .where('network.id', '=', id)
        .where('router.host_id', '=', host)
        .executeTakeFirst();
      return row && { account: row.account_id };
    }
    case 'ins':
    case 'port': {
      // A router on this host may speak of guests on others: they are on its network.
      const row = await trx
        .selectFrom('port')
        .innerJoin('instance', 'instance.id', 'port.instance_id')
        .leftJoin('router', 'router.network_id', 'port.network_id')
        .select(['instance.id', 'instance.account_id'])
        .where(kind === 'ins' ? 'instance.id' : 'port.id', '=', id)
        .where((eb) => eb.or([eb('router.host_id', '=', host), eb('instance.host_id', '=', host)]))
        .executeTakeFirst();
      return row && { account: row.account_id, instance: row.id };
    }
    case 'fw':
    case 'eg':
    case 'pf':
    case 'sn':
    case 'lb':
    case 'pip': {
      const row = await trx
        .selectFrom(ofNetwork[kind])
        .innerJoin('network', 'network.id', `${ofNetwork[kind]}.network_id`)
        .innerJoin('router', 'router.network_id', 'network.id')
        .select('network.account_id')
        .where(`${ofNetwork[kind]}.id`, '=', id)
        .where('router.host_id', '=', host)
        .executeTakeFirst();
      return row && { account: row.account_id };
    }
    case 'mem': {
      const row = await trx
        .selectFrom('load_balancer_member')
        .innerJoin('load_balancer', 'load_balancer.id', 'load_balancer_member.load_balancer_id')
        .innerJoin('router', 'router.network_id', 'load_balancer.network_id')
        .select('load_balancer.account_id')
        .where('load_balancer_member.id', '=', id)
        .where('router.host_id', '=', host)
        .executeTakeFirst();
      return row && { account: row.account_id };
    }
    default:
      return undefined;
  }
};

/**
 * A router's daemon refused its document and keeps the one in force, so what waits for a later one waits in vain. The
 * controller plans only what verifies: this is a defect of ours, or a daemon of another version.
 */
const failRefused = async (trx: Trx, event: RouterEvent): Promise<void> => {
  const rows = await trx
    .selectFrom('operation')
    .select(['id', 'waits_for'])
    .where('state', '=', 'running')
    .execute();
  const router = await trx
    .selectFrom('router_status')
    .select('applied_generation')
    .where('router_id', '=', event.subject)
    .executeTakeFirst();
  const inForce = router?.applied_generation ?? 0;
  for (const { id, waits_for } of rows) {
    const inVain = (JSON.parse(waits_for) as WaitsFor[]).some(
      (wait) => 'router' in wait && wait.router === event.subject && wait.generation > inForce,
    );
    if (!inVain) continue;
    await advanceOperation(trx, id, {
      state: 'failed',
      message: event.message,
      problem: {
        pointer: '',
        code: 'document-refused',
        message: event.message,
        hint: `Generation ${inForce} stays in force. Undo the change; if it should have worked, report it with "selvage router document ${event.subject}".`,
      },
    });
  }
};

/** The guest has its password: nobody needs it any more, here or in a router. */
const erasePassword = async (trx: Trx, instance: string): Promise<void> => {
  const erased = await trx
    .updateTable('instance')
    .set({ password: null })
    .where('id', '=', instance)
    .where('password', 'is not', null)
    .returning('id')
    .executeTakeFirst();
  if (erased === undefined) return;
  const ports = await trx
    .selectFrom('port')
    .innerJoin('router', 'router.network_id', 'port.network_id')
    .select(['port.id as port', 'router.id as router'])
    .where('port.instance_id', '=', instance)
    .execute();
  for (const { port, router } of ports)
    await touchRouter(
      trx,
      router,
      touchGuestPort(port).filter(({ collection }) => collection === 'metadataGuests'),
    );
};
