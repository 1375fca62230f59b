/** Condition `Redundant` of a network: whether another router could carry on if the active one died now. Pure. */
import type { Condition, StandbyStatus } from 'documents';
import { faults, type RouterView } from './conditions.ts';

export interface StandbyView extends RouterView {
  readonly createdAt: number;
  /** What its host says of it; null: nothing. */
  readonly sync: StandbyStatus | null;
}

const isSynced = ({ sync }: StandbyView, active: string): boolean =>
  sync !== null && sync.state === 'synced' && sync.router === active;

/** The standby that counts: one that could take over now, else the oldest. */
export const foremost = (active: string, standbys: readonly StandbyView[]): StandbyView | null =>
  standbys.find((standby) => isSynced(standby, active)) ??
  standbys.toSorted((a, b) => a.createdAt - b.createdAt)[0] ??
  null;

export const redundant = (
  network: { readonly createdAt: number },
  active: RouterView | null,
  standbys: readonly StandbyView[],
): Condition => {
  const standby = active === null ? null : foremost(active.id, standbys);
  const say = (
    status: Condition['status'],
    reason: 'Synced' | 'Syncing' | 'Building' | 'NoStandby',
    message: string,
    lastTransitionTime = standby?.sync?.since ?? standby?.createdAt ?? network.createdAt,
  ): Condition => ({
    type: 'Redundant',
    status,
    reason,
    message,
    observedGeneration: active?.generation ?? 0,
    lastTransitionTime,
  });
  if (active === null)
    return say(
      'False',
      'NoStandby',
      'The network has no router; it gets one, and a standby, with its first guest.',
    );
  if (standby === null)
    return say('False', 'NoStandby', `Nothing stands by for ${active.id}; a standby is built by itself.`);
  if (standby.appliedGeneration === 0) return say('False', 'Building', `The standby ${standby.id} comes up.`);
  // Between two generations everybody is for some ms; one that could not apply what it was given is not like the active one.
  if (standby.observedGeneration > standby.appliedGeneration) {
    const why = faults(standby.conditions).map(({ message }) => message);
    return say(
      'False',
      'Building',
      `The standby ${standby.id} could not apply generation ${standby.observedGeneration}: ${why.join(' ') || 'see its conditions'}`,
      standby.reportedAt ?? standby.createdAt,
    );
  }
  if (isSynced(standby, active.id))
    return say(
      'True',
      'Synced',
      `${standby.id} takes over should ${active.id} die: it knows its connections.`,
    );
  const { sync } = standby;
  const told = sync === null || sync.router !== active.id || sync.message === '' ? '' : ` (${sync.message})`;
  return say(
    'False',
    'Syncing',
    `The standby ${standby.id} does not know all connections of ${active.id} yet${told}.`,
  );
};
