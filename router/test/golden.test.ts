/** The golden cases of every feature of the table, of legs and routes. */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import type { RouterDocument } from 'documents';
import { verifyRouterDocument } from 'documents';
import { egressFeature } from '../egress/feature.ts';
import { rulesetFeatures } from '../features.ts';
import { firewallFeature } from '../firewall/feature.ts';
import { legsRulesetFeature } from '../legs/feature.ts';
import { renderLegs } from '../legs/render.ts';
import { verifyLegs } from '../legs/verify.ts';
import { portForwardFeature } from '../portforward/feature.ts';
import { routesFeature } from '../routes/feature.ts';
import { renderRoutes } from '../routes/render.ts';
import { Ledger } from '../ruleset/ledger.ts';
import { renderRuleset, wholeTable } from '../ruleset/render.ts';
import type { RulesetFeature } from '../ruleset/ruleset-feature.ts';
import { sourceNatFeature } from '../sourcenat/feature.ts';
import { staticNatFeature } from '../staticnat/feature.ts';
import { assertGolden, goldenCases } from './support/golden.ts';

const verifies = [verifyLegs, ...rulesetFeatures.map(({ verify }) => verify), routesFeature.verify];

/** Everything wrong with a document, a line each; empty when nothing is. */
const problems = (document: RouterDocument): string => {
  const shape = verifyRouterDocument(document);
  return [...shape, ...(shape.length > 0 ? [] : verifies.flatMap((verify) => verify(document)))]
    .map(({ pointer, code, message, hint }) => `${pointer} ${code}\n  ${message}.\n  ${hint}`)
    .join('\n');
};

const table = (features: readonly RulesetFeature[]) => (document: RouterDocument) => {
  const ruleset = renderRuleset(features, document);
  const { changes } = new Ledger().stage(ruleset.parts);
  return wholeTable(ruleset, changes, false);
};

const lines = (items: readonly object[]): string => items.map((item) => JSON.stringify(item)).join('\n');

const renderers: Readonly<Record<string, (document: RouterDocument) => string>> = {
  firewall: table([firewallFeature]),
  egress: table([egressFeature]),
  sourcenat: table([sourceNatFeature]),
  staticnat: table([staticNatFeature]),
  portforward: table([portForwardFeature]),
  legs: (document) => {
    const { links, settings } = renderLegs(document);
    const set = settings.map(([path, value]) => `${path} = ${value}`).join('\n');
    return `${lines(links)}\n\n${set}\n\n${table([legsRulesetFeature])(document)}`;
  },
  routes: (document) => lines(renderRoutes(document)),
  ruleset: table(rulesetFeatures),
};

for (const [feature, render] of Object.entries(renderers)) {
  for (const golden of goldenCases(new URL(`../${feature}/golden/`, import.meta.url))) {
    test(`${feature}: ${golden.name}`, (t) => {
      const found = problems(golden.document);
      assertGolden(t, golden, found === '' ? render(golden.document) : found);
    });
  }
}

test('nft takes the whole table, and lists its chains and sets as we write them', (t) => {
  const netns = `svt${process.pid}g`;
  t.teardown(() => spawnSync('ip', ['netns', 'del', netns]));
  spawnSync('ip', ['netns', 'add', netns]);
  const nft = (input: string, ...args: string[]) =>
    spawnSync('ip', ['netns', 'exec', netns, '/usr/sbin/nft', ...args], { encoding: 'utf8', input });
  for (const golden of goldenCases(new URL('../ruleset/golden/', import.meta.url))) {
    if (problems(golden.document) !== '') continue;
    const ruleset = renderRuleset(rulesetFeatures, golden.document);
    const loaded = nft(`flush ruleset\n${table(rulesetFeatures)(golden.document)}`, '-f', '-');
    t.is(loaded.stderr, '');
    const { stdout } = nft('', '-y', '-t', 'list', 'table', 'inet', 'selvage');
    for (const block of [...ruleset.sets.values(), ...ruleset.chains.values()]) {
      t.true(stdout.includes(`\n${block}\n`), `not listed as written:\n${block}`);
    }
  }
});
