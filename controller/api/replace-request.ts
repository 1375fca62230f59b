import { type Static, Type } from 'typebox';
import { Refusal } from '../model/refusal.ts';
import { getRow } from '../store/rows.ts';
import { beginRebuild } from '../workflow/rebuild-standby/begin.ts';
import { beginReplacement, DRAIN_DEADLINE, READY_WITHIN } from '../workflow/replace/begin.ts';
import { bundleField, chosenBundle } from './chosen-bundle.ts';
import type { Write } from './kind.ts';
import { body } from './schemas.ts';

/** A week. */
const LONGEST = 604_800;

/** What a request to replace a router may say. */
export const replaceFields = {
  drainDeadline: Type.Optional(
    Type.Unsafe<number | null>({
      type: ['integer', 'null'],
      minimum: 0,
      maximum: LONGEST,
      default: DRAIN_DEADLINE,
      description:
        'Seconds after the hand-over at which the old router goes whatever sessions end in it; null: when the last has ended.',
    }),
  ),
  readyWithin: Type.Optional(
    Type.Integer({
      minimum: 5,
      maximum: 3600,
      default: READY_WITHIN,
      description: 'Seconds its successor may take to prove that it is ready; then it is taken away again.',
    }),
  ),
};
export const replaceBody = body({ ...replaceFields, bundle: bundleField });

/** A standby takes over from a router at any moment: it runs what that one runs. */
const standbyFollows = (router: string): Refusal => {
  const message = `The router ${router} is a standby, which runs the bundle of the router it stands by for`;
  const hint = 'Leave "bundle" out, or give the active router another: its standby follows.';
  return new Refusal(409, 'conflict', message, [
    { pointer: '/bundle', code: 'standby-follows', message, hint },
  ]);
};

/** Begins to replace a router, or joins what is under way. The operation ends when its traffic is on the new one. */
export const replaceRouterOf = async (
  { trx, caller, body: given }: Pick<Write<Static<typeof replaceBody>>, 'trx' | 'caller' | 'body'>,
  router: string,
): Promise<{ operation: string }> => {
  const { drainDeadline = DRAIN_DEADLINE, readyWithin = READY_WITHIN } = given;
  const bundle = given.bundle === undefined ? null : await chosenBundle(trx, caller, given.bundle);
  const { role, network_id } = await getRow(trx, 'router', router);
  if (role === 'standby') {
    if (bundle !== null) throw standbyFollows(router);
    const rebuild = await beginRebuild(trx, {
      network: network_id,
      router,
      readyWithin,
      reason: `${router} is to be replaced`,
    });
    return { operation: rebuild.operation_id };
  }
  const workflow = await beginReplacement(trx, { router, drainDeadline, readyWithin, bundle });
  return { operation: workflow.operation_id };
};
