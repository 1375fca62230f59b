/** The router as a library: what tests and benches need of it without a process of its own. */
export { acceptChange, acceptDocument, type Acceptance } from './document/accept.ts';
export { DocumentStore } from './document/store.ts';
export type { Applied, Feature, Scope, Waiting } from './feature.ts';
export { type AnyFeature, routerFeatures, rulesetFeatures } from './features.ts';
export { Counters } from './observe/counters.ts';
export { EventLog } from './observe/event-log.ts';
export { openSystem } from './open-system.ts';
export { type Outcome, Router, type RouterParts } from './router.ts';
export { type Clock, type Exec, type Files, type Report, type System } from './system.ts';
export { renderRuleset, type Ruleset } from './ruleset/render.ts';
