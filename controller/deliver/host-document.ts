import type { HostDocument } from 'documents';
import { planHost } from '../plan/host.ts';
import type { Store } from '../store/store.ts';
import { loadHostFacts } from './host-facts.ts';

/** What a host is to be, undefined when there is no such host. */
export const hostDocument = (store: Store, hostId: string): Promise<HostDocument | undefined> =>
  store.transaction(async (trx) => {
    const facts = await loadHostFacts(trx, hostId);
    return facts === undefined ? undefined : planHost(facts);
  });
