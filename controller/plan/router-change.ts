import { type CollectionChange, collectionNames, type RouterDocumentChange } from 'documents';
import { collectionPlanners } from './collections.ts';
import { planDns } from './dns.ts';
import type { RouterFacts } from './facts.ts';
import { planHandover } from './handover.ts';
import { planHostname } from './router.ts';
import type { Touched } from './touched.ts';

/**
 * The difference from generation `base` to the generation of the facts. `facts` may be restricted to the touched items
 * (then the work is that of the change, however big the router is); a touched item they do not have is gone.
 */
export const planRouterChange = (
  facts: RouterFacts,
  touched: Touched,
  base: number,
  generation: number = facts.router.generation,
): RouterDocumentChange => {
  const collections: { [name: string]: CollectionChange } = {};
  for (const name of collectionNames) {
    const ids = touched.items[name];
    if (ids === undefined || ids.size === 0) continue;
    const upsert = collectionPlanners[name](facts).filter((item) => ids.has(item.id));
    const kept = new Set(upsert.map((item) => item.id));
    collections[name] = { upsert, remove: [...ids].filter((id) => !kept.has(id)).sort() };
  }
  return {
    schemaVersion: 1,
    id: facts.router.id,
    baseGeneration: base,
    generation,
    ...(touched.hostname ? { hostname: planHostname(facts) } : {}),
    ...(touched.dns ? { dns: planDns(facts) } : {}),
    ...(touched.handover ? { handover: planHandover(facts) ?? null } : {}),
    collections: collections as RouterDocumentChange['collections'],
  };
};
