import { Refusal } from '../model/refusal.ts';
import { touchEverything } from '../plan/touched.ts';
import { recordEvent } from '../store/events.ts';
import { type Network, routersOf } from '../store/networks.ts';
import { startOperation } from '../store/operations.ts';
import { touchNetwork } from '../store/routers.ts';
import type { Write } from './kind.ts';
import { replaceRouterOf } from './replace-request.ts';

export interface RestartRequest {
  readonly cleanup?: boolean;
  readonly drainDeadline?: number | null;
  readonly readyWithin?: number;
}

/** Gives a network's router its whole document again, or replaces it. @throws {Refusal} 409 when it has none. */
export const restartNetwork = async (
  write: Pick<Write<RestartRequest>, 'trx' | 'caller' | 'body'>,
  network: Network,
): Promise<{ operation: string | null }> => {
  const { trx, body } = write;
  const [router] = await routersOf(trx, network.id);
  if (router === undefined) {
    const message = `The network ${network.name} has no router: it is ${network.state}`;
    throw new Refusal(409, 'conflict', message, [
      {
        pointer: '',
        code: 'no-router',
        message,
        hint: 'There is nothing to restart; its first guest brings it a router.',
      },
    ]);
  }
  await recordEvent(trx, {
    account: network.account_id,
    type: 'network.restarted',
    resource: network.id,
    message: `The network ${network.name} is restarted${body.cleanup === true ? ' with a fresh router' : ''}`,
  });
  if (body.cleanup === true) return replaceRouterOf(write, router.id);
  const { waitsFor } = await touchNetwork(trx, network.id, () => touchEverything);
  const operation = await startOperation(trx, {
    account: network.account_id,
    type: 'network.restart',
    resource: network.id,
    waitsFor,
    message: 'Its router is given its whole document again',
  });
  return { operation };
};
