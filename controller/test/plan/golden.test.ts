import { readFileSync } from 'node:fs';
import test from 'ava';
import { verifyHostDocument, verifyRouterDocument } from 'documents';
import { planHost } from '../../plan/host.ts';
import { planRouter } from '../../plan/router.ts';
import type { HostFacts, RouterFacts } from '../../plan/facts.ts';

interface Golden {
  readonly intent: string;
  readonly facts: { readonly router: RouterFacts; readonly host: HostFacts };
  readonly router: unknown;
  readonly host: unknown;
}

const golden = JSON.parse(
  readFileSync(new URL('golden/small-network.json', import.meta.url), 'utf8'),
) as Golden;

test(golden.intent, (t) => {
  const router = planRouter(golden.facts.router);
  const host = planHost(golden.facts.host);
  t.deepEqual(router, golden.router as typeof router);
  t.deepEqual(host, golden.host as typeof host);
  t.deepEqual(verifyRouterDocument(router), []);
  t.deepEqual(verifyHostDocument(host), []);
});
