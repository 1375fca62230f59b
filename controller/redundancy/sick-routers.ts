/**
 * Looks after routers: one that is alive but sick is replaced by the planned path, a standby that is sick or missing is
 * built anew. What a host can mend by itself (a dead daemon, a dead router) it has mended before anything here is due.
 */
import type { HostStatus, RouterStatus, StandbyStatus } from 'documents';
import { AgentError } from '../deliver/agent-error.ts';
import type { Delivery } from '../deliver/delivery.ts';
import type { Log } from '../deliver/log.ts';
import { Refusal } from '../model/refusal.ts';
import {
  ailmentsAfter,
  type Ailments,
  complaints,
  isDoubtful,
  isSilent,
  SICKNESS,
  sickness,
  type SicknessLimits,
} from '../model/sick-router.ts';
import { recordEvent } from '../store/events.ts';
import type { Store } from '../store/store.ts';
import type { Trx } from '../store/transaction.ts';
import { openWorkflows } from '../store/workflows.ts';
import { beginRebuild } from '../workflow/rebuild-standby/begin.ts';
import { beginReplacement, DRAIN_DEADLINE, READY_WITHIN } from '../workflow/replace/begin.ts';

export interface SickRoutersOptions {
  readonly store: Store;
  readonly link: Pick<Delivery, 'requestRouter' | 'isConnected'>;
  readonly log: Log;
  /** False: sick routers are left to people; standbys that are missing are built all the same. */
  readonly autoReplace: boolean;
  readonly limits?: SicknessLimits;
  /** Between two replacements of one network that nobody asked for, ms; ten minutes if not said. */
  readonly pause?: number;
  /** Between two looks, ms; 5000 if not said. */
  readonly every?: number;
}

export interface SickRouters {
  /** Looks once. */
  look(): Promise<void>;
  stop(): Promise<void>;
}

const PAUSE = 600_000;
const EVERY = 5000;
const ANSWER_TIMEOUT = 3000;

/** Events by which a network is known to have been seen to lately. */
const AUTOMATIC = ['network.router-sick', 'network.standby-sick', 'network.standby-missing'] as const;

interface Seen {
  readonly reportedAt: number;
  /** By its own report at that time. */
  readonly own: readonly string[];
  readonly ailments: Ailments;
  /** Latest generation that it had in force, as far as was seen. */
  readonly proved: number;
}

/** A router that is to be replaced, or rebuilt. */
interface Sick {
  readonly router: string;
  readonly role: string;
  readonly network: string;
  /** What it is to run: id of a bundle, null for what hosts came with. */
  readonly bundle: string | null;
  readonly reason: string;
}

export const startSickRouters = (options: SickRoutersOptions): SickRouters => {
  const { store, link, log, autoReplace, limits = SICKNESS, pause = PAUSE, every = EVERY } = options;
  // While this process was away nobody could be heard.
  const startedAt = store.now();
  let seen = new Map<string, Seen>();

  const look = async (): Promise<void> => {
    if (autoReplace) await lookAtRouters();
    await lookForStandbys();
  };

  const lookAtRouters = async (): Promise<void> => {
    const now = store.now();
    const rows = await store.db
      .selectFrom('router')
      .innerJoin('network', 'network.id', 'router.network_id')
      .leftJoin('router_status', 'router_status.router_id', 'router.id')
      .select([
        'router.id',
        'router.host_id',
        'router.network_id',
        'router.role',
        'router.created_at',
        'router.bundle_id',
        'router_status.reported_at',
        'router_status.observed_generation',
        'router_status.applied_generation',
      ])
      .where('router.role', 'in', ['active', 'standby'])
      .where('network.state', '=', 'implemented')
      .execute();
    const hosts = await standbyReports(
      rows.flatMap(({ role, host_id }) => (role === 'standby' ? [host_id] : [])),
    );
    const provedBy = (row: (typeof rows)[number]): number =>
      Math.max(row.applied_generation ?? 0, seen.get(row.id)?.proved ?? 0);
    const proved = new Map<string, number>();
    for (const row of rows)
      proved.set(row.network_id, Math.max(proved.get(row.network_id) ?? 0, provedBy(row)));
    const fresh = new Map<string, Seen>();
    const sick: Sick[] = [];
    for (const row of rows) {
      const before = seen.get(row.id);
      const reportedAt = row.reported_at ?? 0;
      const own = before?.reportedAt === reportedAt ? before.own : await complaintsOf(row.id);
      const pair = hosts.get(row.id);
      const found = pair?.state === 'broken' ? [...own, `${SYNC} ${pair.message}`] : own;
      const generations = {
        observedGeneration: row.observed_generation ?? 0,
        appliedGeneration: row.applied_generation ?? 0,
      };
      const doubtful = isDoubtful(generations, proved.get(row.network_id) ?? 0);
      const ailments = ailmentsAfter(before?.ailments ?? new Map(), found, now, doubtful);
      fresh.set(row.id, { reportedAt, own, ailments, proved: provedBy(row) });
      if (!link.isConnected(row.host_id)) continue;
      const heardAt = Math.max(reportedAt, row.created_at, startedAt);
      const answers = isSilent({ heardAt }, now, limits) ? await answersNow(row.id) : null;
      const reason = sickness({ heardAt, answers, ailments }, now, limits);
      if (reason !== null)
        sick.push({
          router: row.id,
          role: row.role,
          network: row.network_id,
          bundle: row.bundle_id,
          reason,
        });
    }
    seen = fresh;
    for (const one of sick) await seeTo(one);
  };

  /** A complaint that comes from the host, and not from the router itself. */
  const SYNC = 'it does not follow the active router:';

  const standbyReports = async (ids: readonly string[]): Promise<ReadonlyMap<string, StandbyStatus>> => {
    if (ids.length === 0) return new Map();
    const rows = await store.db
      .selectFrom('host_status')
      .select('status')
      .where('host_id', 'in', [...new Set(ids)])
      .execute();
    return new Map(
      rows
        .flatMap(({ status }) => (JSON.parse(status) as HostStatus).standbys ?? [])
        .map((one) => [one.standby, one]),
    );
  };

  const complaintsOf = async (router: string): Promise<string[]> => {
    const row = await store.db
      .selectFrom('router_status')
      .select('status')
      .where('router_id', '=', router)
      .executeTakeFirst();
    return row === undefined ? [] : complaints(JSON.parse(row.status) as RouterStatus);
  };

  const answersNow = async (router: string): Promise<boolean | null> => {
    try {
      await link.requestRouter(router, { method: 'GET', path: '/v1/status', timeout: ANSWER_TIMEOUT });
      return true;
    } catch (error) {
      // Of a router whose host is not there now nothing is known.
      return error instanceof AgentError && error.code !== 'HOST_NOT_CONNECTED' ? false : null;
    }
  };

  const seeTo = (one: Sick): Promise<void> =>
    tried(one.network, async (trx, account) => {
      const reason = `${one.router} is sick: ${one.reason}`;
      const workflow =
        one.role === 'standby'
          ? await beginRebuild(trx, { network: one.network, router: one.router, reason })
          : await beginReplacement(trx, {
              router: one.router,
              drainDeadline: DRAIN_DEADLINE,
              readyWithin: READY_WITHIN,
              // What it runs already: the default may be a bundle that no canary has proved yet, or that failed as one. A
              // router that was never given one is replaced like any that comes anew.
              bundle: one.bundle,
              because: reason,
            });
      await recordEvent(trx, {
        account,
        type: one.role === 'standby' ? 'network.standby-sick' : 'network.router-sick',
        level: 'warning',
        resource: one.network,
        message: `The ${one.role === 'standby' ? 'standby' : 'router'} ${reason}. It is replaced (${workflow.id})`,
      });
    });

  /** Networks that are to have a standby and have none. */
  const lookForStandbys = async (): Promise<void> => {
    const rows = await store.db
      .selectFrom('network')
      .innerJoin('router', 'router.network_id', 'network.id')
      .select(['network.id', 'router.id as router'])
      .where('network.redundant', '=', 1)
      .where('network.state', '=', 'implemented')
      .where('router.role', '=', 'active')
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('router as standby')
              .select('standby.id')
              .whereRef('standby.network_id', '=', 'network.id')
              .where('standby.role', '=', 'standby'),
          ),
        ),
      )
      .execute();
    for (const { id, router } of rows)
      await tried(id, async (trx, account) => {
        const reason = `nothing stood by for ${router}`;
        const workflow = await beginRebuild(trx, { network: id, router: null, reason });
        await recordEvent(trx, {
          account,
          type: 'network.standby-missing',
          level: 'warning',
          resource: id,
          message: `The network had no standby any more: ${reason}. One is built (${workflow.id})`,
        });
      });
  };

  /** Does something to a network that nobody asked for, unless that was done lately or something else is under way. */
  const tried = async (
    network: string,
    work: (trx: Trx, account: string) => Promise<void>,
  ): Promise<void> => {
    try {
      await store.transaction(async (trx) => {
        const lately = await trx
          .selectFrom('event')
          .select('id')
          .where('resource', '=', network)
          .where('type', 'in', [...AUTOMATIC])
          .where('created_at', '>', store.now() - pause)
          .limit(1)
          .executeTakeFirst();
        if (lately !== undefined) return;
        const busy = (await openWorkflows(trx, [network])).some(({ claim }) => claim !== null);
        if (busy) return;
        const row = await trx
          .selectFrom('network')
          .select('account_id')
          .where('id', '=', network)
          .executeTakeFirst();
        if (row !== undefined) await work(trx, row.account_id);
      });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      log.debug({ network, why: error.message }, 'a router that should be replaced cannot be now');
    }
  };

  let running: Promise<void> = Promise.resolve();
  let busy = false;
  const timer = setInterval(() => {
    if (busy) return;
    busy = true;
    running = look()
      .catch((error: unknown) => log.error({ err: error }, 'looking after routers failed'))
      .finally(() => {
        busy = false;
      });
  }, every);
  timer.unref();

  return {
    look,
    stop: async () => {
      clearInterval(timer);
      await running;
    },
  };
};
