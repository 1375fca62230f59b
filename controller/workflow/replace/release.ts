/**
 * Takes a router out of the chain, wherever it stands in it: its neighbours are joined. Between two documents that say so
 * packets are under way, so each neighbour hears the other before anything is sent there, and hears the one that leaves until
 * nothing can come from there any more (docs/handover.md, "Out of the middle"). The router that leaves has no part in it: its
 * own document stays as it is, and its daemon may be dead.
 *
 * | stage    | is in force then                                                                   |
 * | -------- | ---------------------------------------------------------------------------------- |
 * | `wires`  | there are wires between the two                                                    |
 * | `hear`   | each takes what the other sends; nobody sends there yet                            |
 * | `up`     | the older one hands to the newer, past the one that leaves, which it still hears   |
 * | `down`   | the newer one asks the older, past the one that leaves, which it still hears       |
 * | `forget` | neither knows it any more: it can be taken away                                    |
 *
 * Without an older neighbour it begins with `down`.
 */
import {
  type HostGeneration,
  type Neighbours,
  plugWires,
  setNeighbours,
  tellNeighbours,
} from '../../store/router-chain.ts';
import { findRow, getRow } from '../../store/rows.ts';
import type { Trx } from '../../store/transaction.ts';
import { type Outcome, done, wait, type Work } from '../step.ts';
import { leaveChain, takeChain } from './chain-claim.ts';
import { daemonState, isStuck } from './daemon.ts';
import { isForwarding, hostHas } from './reports.ts';
import type { Release, ReleaseStage, ReplaceState } from './state.ts';

/** Between two tries while another workflow changes the chain, ms. */
const ASK_EVERY = 1000;
/** How long a stage may take before it is asked whether a neighbour's daemon lives, ms. */
const STAGE_WITHIN = 10_000;
/** After a try that was taken back because a neighbour is dead or stuck, ms. */
const AGAIN_AFTER = 30_000;

const STAGES: readonly ReleaseStage[] = ['wires', 'hear', 'up', 'down', 'forget'];

const following = (stage: ReleaseStage): ReleaseStage | undefined => STAGES[STAGES.indexOf(stage) + 1];

type Waits = Pick<Release, 'host' | 'routers'>;

const told = async (
  trx: Trx,
  changes: readonly (readonly [router: string, neighbours: Neighbours])[],
): Promise<Waits> => {
  const routers: { router: string; generation: number }[] = [];
  for (const [router, neighbours] of changes)
    if ((await findRow(trx, 'router', router)) !== undefined)
      routers.push({ router, generation: await setNeighbours(trx, router, neighbours) });
  return { host: null, routers };
};

/** What is changed at the beginning of a stage. */
const changes: Readonly<
  Record<
    ReleaseStage,
    (trx: Trx, leaving: string, release: Pick<Release, 'older' | 'newer'>) => Promise<Waits>
  >
> = {
  wires: async (trx, _leaving, { older, newer }) => {
    const host: HostGeneration | null = older === null ? null : await plugWires(trx, older, newer);
    return { host, routers: [] };
  },
  hear: async (trx, _leaving, { older, newer }) => {
    const routers: { router: string; generation: number }[] = [];
    for (const router of [older, newer])
      if (router !== null) routers.push({ router, generation: await tellNeighbours(trx, router) });
    return { host: null, routers };
  },
  up: (trx, leaving, { older, newer }) =>
    told(trx, older === null ? [] : [[older, { newer, heardNewer: leaving }]]),
  down: async (trx, leaving, { older, newer }) => {
    // One that is rescued never handed over: this alone says that there are wires to it until it is gone.
    await trx
      .updateTable('router')
      .set({ heard_newer_id: newer })
      .where('id', '=', leaving)
      .where('newer_id', 'is', null)
      .execute();
    return told(trx, [[newer, { older, heardOlder: leaving }]]);
  },
  forget: async (trx, leaving, { older, newer }) => {
    // Whoever hears it since a try that was taken back: it sends there no more, so nobody has to be waited for.
    for (const [column, neighbours] of [
      ['heard_older_id', { heardOlder: null }],
      ['heard_newer_id', { heardNewer: null }],
    ] as const)
      for (const { id } of await trx.selectFrom('router').select('id').where(column, '=', leaving).execute())
        await setNeighbours(trx, id, neighbours);
    return told(trx, [
      ...(older === null ? [] : ([[older, { heardNewer: null }]] as const)),
      [newer, { heardOlder: null }],
    ]);
  },
};

const inForce = async (work: Work<ReplaceState>, { host, routers }: Waits): Promise<boolean> => {
  if (host !== null && !(await hostHas(work.db, host))) return false;
  for (const { router, generation } of routers)
    if (
      (await findRow(work.db, 'router', router)) !== undefined &&
      !(await isForwarding(work.db, router, generation))
    )
      return false;
  return true;
};

/**
 * Goes on with taking a router out, until the stage is in force: `done` then. `newer` is who its neighbour is when it cannot
 * say so itself, because it never handed over.
 */
export const release = async (
  work: Work<ReplaceState>,
  leaving: { readonly router: string; readonly newer: string | null },
  until: 'down' | 'forget' = 'forget',
): Promise<Outcome> => {
  const { router } = leaving;
  if (work.state.release === null) {
    const outcome = await begin(work, leaving);
    if (outcome !== null) return outcome;
  }
  for (;;) {
    const { release: now } = work.state;
    if (now === null) return wait(work.now() + AGAIN_AFTER);
    if (!(await inForce(work, now))) {
      if (work.now() < now.since + STAGE_WITHIN) return wait(now.since + STAGE_WITHIN);
      const { late, helpless } = await lateNeighbours(work, now);
      const [first] = helpless;
      if (first === undefined || (now.stage === 'forget' && helpless.length < late.length))
        return wait(work.now() + ASK_EVERY);
      // At last nobody sends there any more: that it would still be heard is of no matter, and going back would be.
      if (now.stage !== 'forget') return withdraw(work, router, first);
    }
    if (STAGES.indexOf(now.stage) >= STAGES.indexOf(until)) {
      if (until === 'forget' && work.state.holdsChain)
        await work.change(async (trx, state) => leaveChain(trx, work, state));
      return done();
    }
    const next = following(now.stage) as ReleaseStage;
    await work.change(async (trx, state) => enter(trx, work, state, router, next));
  }
};

const begin = async (
  work: Work<ReplaceState>,
  leaving: { readonly router: string; readonly newer: string | null },
): Promise<Outcome | null> => {
  const until = work.scratch.get('release-again') ?? 0;
  if (work.now() < until) return wait(until);
  const begun = await work.change(async (trx, state) => {
    if (!(await takeChain(trx, work, state))) return 'busy';
    const row = await getRow(trx, 'router', leaving.router);
    const newer = row.newer_id ?? leaving.newer;
    // Nobody asks it, so nobody has to stop.
    if (newer === null) {
      await leaveChain(trx, work, state);
      return 'alone';
    }
    const older = work.scratch.get('forsaken') === 1 ? null : row.older_id;
    state.release = { older, newer, stage: 'wires', host: null, routers: [], since: work.now() };
    await enter(trx, work, state, leaving.router, older === null ? 'down' : 'wires');
    return 'begun';
  });
  if (begun === 'busy') return wait(work.now() + ASK_EVERY);
  return begun === 'alone' ? done() : null;
};

const enter = async (
  trx: Trx,
  work: Work<ReplaceState>,
  state: ReplaceState,
  router: string,
  stage: ReleaseStage,
): Promise<void> => {
  if (state.release === null) throw new TypeError('Nobody is being let go');
  const { older, newer } = state.release;
  const waits = await changes[stage](trx, router, state.release);
  state.release = { older, newer, stage, ...waits, since: work.now() };
};

/** Neighbours that the stage waits for, and those of them whose daemons are dead or cannot apply what they are told. */
const lateNeighbours = async (
  work: Work<ReplaceState>,
  { routers, since }: Pick<Release, 'routers' | 'since'>,
): Promise<{ readonly late: readonly string[]; readonly helpless: readonly string[] }> => {
  const late: string[] = [];
  const helpless: string[] = [];
  for (const { router, generation } of routers) {
    if ((await findRow(work.db, 'router', router)) === undefined) continue;
    if (await isForwarding(work.db, router, generation)) continue;
    late.push(router);
    const daemon = await daemonState(work, router);
    if (daemon === 'dead' || (daemon === 'alive' && (await isStuck(work, router, since))))
      helpless.push(router);
  }
  return { late, helpless };
};

/**
 * The neighbours are as before again: one of them cannot be told. Then it is its turn to go, at its deadline or when it is
 * replaced, for which the chain has to be free. One that was never handed over to is not waited for: a router that is rescued
 * leaves the older ones behind.
 */
const withdraw = async (work: Work<ReplaceState>, router: string, dead: string): Promise<Outcome> => {
  await work.change(async (trx, state) => {
    if (state.release === null) return;
    const { older, newer } = state.release;
    const handedOver = (await getRow(trx, 'router', router)).newer_id !== null;
    // They go on hearing each other, for the next try, and because the wires may only go when nobody speaks of them.
    if (older !== null)
      await told(trx, [
        [older, { newer: router, heardNewer: newer }],
        [newer, { older: router, heardOlder: older }],
      ]);
    else await told(trx, [[newer, { older: router, heardOlder: null }]]);
    state.release = null;
    await leaveChain(trx, work, state);
    work.scratch.set('release-again', work.now() + (handedOver ? AGAIN_AFTER : 0));
    if (!handedOver && dead === older) work.scratch.set('forsaken', 1);
    await work.tell(
      trx,
      `${router} cannot leave the chain yet: the daemon of ${dead} does not answer or apply its document`,
    );
  });
  return wait(work.scratch.get('release-again') ?? work.now());
};
