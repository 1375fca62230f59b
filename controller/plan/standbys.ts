import type { Standby } from 'documents';
import { byId } from './by-id.ts';
import type { HostFacts } from './facts.ts';

/** Which routers of this host stand by for which: every standby of a network for its active router, whoever that is now. */
export const planStandbys = ({ routers }: Pick<HostFacts, 'routers'>): Standby[] => {
  const active = new Map(routers.flatMap(({ id, network, active }) => (active ? [[network, id]] : [])));
  return byId(
    routers.flatMap(({ id, network, standby }) => {
      const router = active.get(network);
      return standby === true && router !== undefined ? [{ id, router, standby: id }] : [];
    }),
  );
};
