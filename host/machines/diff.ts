/** What is to become of each machine. Pure. */
import type { Machine } from 'documents';

export interface MachineDiff {
  /** Machines to run, each given to its driver whether it runs already or not. Routers first: guests want their answers. */
  readonly run: readonly Machine[];
  /** Machines to switch off; what is known of them stays. */
  readonly stop: readonly string[];
  /** Machines nobody wants any more. */
  readonly remove: readonly string[];
}

/** From the ids of machines on the host and those that the document wants. */
export const diffMachines = (present: readonly string[], wanted: readonly Machine[]): MachineDiff => {
  const ids = new Set(wanted.map((machine) => machine.id));
  return {
    run: wanted
      .filter((machine) => machine.state === 'running')
      .toSorted((a, b) => Number(a.kind !== 'router') - Number(b.kind !== 'router')),
    stop: wanted.filter((machine) => machine.state === 'stopped').map((machine) => machine.id),
    remove: present.filter((id) => !ids.has(id)),
  };
};
