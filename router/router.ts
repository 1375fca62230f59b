import type { BundleName, Problem, RouterDocument, RouterDocumentChange, RouterStatus } from 'documents';
import { type Acceptance, acceptChange, acceptDocument } from './document/accept.ts';
import type { DocumentStore, Storing } from './document/store.ts';
import { withoutSecrets } from './document/without-secrets.ts';
import type { Waiting } from './feature.ts';
import type { AnyFeature } from './features.ts';
import { Conditions } from './observe/conditions.ts';
import type { Counters } from './observe/counters.ts';
import type { EventLog } from './observe/event-log.ts';
import { ReturningDrift } from './observe/returning-drift.ts';
import type { System } from './system.ts';

/** What is to be done when a document could not be put in force: wait this long, then twice as long, ms. */
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 60_000;

/** How long a document took, ms. */
export interface Timing {
  /** From its turn to the moment it was accepted: read, verified against the rest. */
  readonly accept: number;
  /** From there until kernel and daemons had it. */
  readonly kernel: number;
}

/** How a request to change the document ended. */
export type Outcome =
  | { readonly outcome: 'in-force'; readonly timing: Timing }
  | { readonly outcome: 'failed'; readonly timing: Timing }
  | { readonly outcome: 'refused'; readonly problems: readonly Problem[] }
  | { readonly outcome: 'other-base' };

/** One feature as this router runs it. */
interface Running {
  readonly feature: AnyFeature;
  /** What was rendered last, and from which document. */
  rendered: unknown;
  document: RouterDocument | null;
  /** Whether kernel or daemon have what was rendered. */
  inForce: boolean;
  failure: string | null;
  waiting: readonly Waiting[];
}

/** What a router is made of. */
export interface RouterParts {
  readonly system: System;
  readonly features: readonly AnyFeature[];
  readonly store: DocumentStore;
  readonly events: EventLog;
  readonly counters: Counters;
  readonly version: string;
  /** What it runs from, if that is a bundle. */
  readonly bundle?: BundleName;
  /** Health checks, leases and conditions that features report besides ours. */
  readonly observe?: () => Promise<Pick<RouterStatus, 'health' | 'leases' | 'conditions'>>;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * A router: takes documents, puts them in force, keeps them in force, and says how it is. One thing at a time: what
 * changes kernel or daemons waits in one queue.
 */
export class Router {
  readonly #parts: RouterParts;
  readonly #running: readonly Running[];
  readonly #conditions: Conditions;
  readonly #drift = new ReturningDrift();
  readonly #startedAt: number;
  #document: RouterDocument | null = null;
  #observedGeneration = 0;
  #appliedGeneration = 0;
  #forwardingGeneration = 0;
  #queue: Promise<unknown> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #retryDelay = FIRST_RETRY;
  #closed = false;

  constructor(parts: RouterParts) {
    this.#parts = parts;
    this.#running = parts.features.map((feature) => ({
      feature,
      rendered: undefined,
      document: null,
      inForce: false,
      failure: null,
      waiting: [],
    }));
    this.#startedAt = parts.system.clock.now();
    this.#conditions = new Conditions(parts.system.clock.now);
    this.#conditions.set('Drifted', 'False', 'AsApplied', 'Nothing was changed by others', 0);
    this.#state('NoDocument', 'No document was given to this router yet');
  }

  /** The document in force, passwords left out; null before the first. */
  get document(): RouterDocument | null {
    return this.#document === null ? null : withoutSecrets(this.#document);
  }

  /** Its place in the network: a view of the document in force, the same object until that changes. */
  get place(): Pick<RouterDocument, 'legs' | 'handover'> | null {
    return this.#document;
  }

  /** Id of the router, as far as it is known. */
  get id(): string {
    return this.#document?.id ?? 'router';
  }

  get generation(): number {
    return this.#document?.generation ?? 0;
  }

  /** Puts the stored document in force again, touching only what differs from it. */
  start(): Promise<void> {
    return this.#next(async () => {
      let stored: RouterDocument | null;
      try {
        stored = await this.#parts.store.load();
      } catch (error) {
        this.#state('StoredDocumentUnreadable', `The stored document cannot be read: ${messageOf(error)}`);
        return;
      }
      if (stored === null) return;
      // Written by another version, it may no longer verify: the kernel stays as it is until a document comes that does.
      const accepted = acceptDocument(stored, null, this.#verifies());
      if (accepted.outcome === 'refused') {
        const message = accepted.problems
          .map(({ pointer, message: what }) => `${pointer}: ${what}`)
          .join('; ');
        this.#state('StoredDocumentRefused', message);
        return;
      }
      this.#document = stored;
      await this.#apply(stored);
    });
  }

  /** Puts a whole document in force. `text` is the same as it came, to be stored as it is. */
  put(value: unknown, text?: string): Promise<Outcome> {
    return this.#next(async () => {
      const started = performance.now();
      const accepted = acceptDocument(value, this.#document, this.#verifies());
      return await this.#enforce(started, accepted, (document) => this.#parts.store.whole(document, text));
    });
  }

  /** Puts a change to the document in force. */
  patch(value: unknown): Promise<Outcome> {
    return this.#next(async () => {
      const started = performance.now();
      const accepted = acceptChange(value, this.#document, this.#verifies());
      return await this.#enforce(started, accepted, (document) =>
        this.#parts.store.change(document, value as RouterDocumentChange),
      );
    });
  }

  /** What putting `value` (or, without it, the document in force) in force would change, as the tools see it. */
  diff(value?: unknown): Promise<{ readonly text: string } | { readonly problems: readonly Problem[] }> {
    return this.#next(async () => {
      let next = this.#document;
      if (value !== undefined) {
        const accepted = acceptDocument(value, this.#document, this.#verifies());
        if (accepted.outcome !== 'accepted') {
          return { problems: accepted.outcome === 'refused' ? accepted.problems : [] };
        }
        next = accepted.document;
      }
      if (next === null) return { text: '' };
      let text = '';
      for (const { feature } of this.#running) {
        const part = await feature.diff(this.#parts.system, feature.render(next));
        if (part !== '') text += `${part.trimEnd()}\n`;
      }
      return { text };
    });
  }

  /** Compares kernel and daemons with what is in force and puts back what differs. `only` limits it to some features. */
  heal(only?: ReadonlySet<string>): Promise<readonly string[]> {
    return this.#next(async () => {
      const document = this.#document;
      if (document === null || this.#closed) return [];
      if (this.#running.some((one) => !one.inForce)) {
        await this.#apply(document);
        return [];
      }
      const changes: string[] = [];
      for (const one of this.#running) {
        if (only !== undefined && !only.has(one.feature.name)) continue;
        try {
          const healed = await one.feature.heal(this.#parts.system, one.rendered);
          changes.push(...healed.changes);
          one.waiting = healed.waiting ?? [];
          one.inForce = one.waiting.length === 0;
        } catch (error) {
          one.inForce = false;
          one.failure = `${one.feature.name}: ${messageOf(error)}`;
        }
      }
      if (changes.length > 0) this.#drifted(changes);
      this.#settle(document);
      return changes;
    });
  }

  /** How the router is. Counters are read again where `fresh` says so, else they are those of the last reading. */
  async status(fresh = true): Promise<RouterStatus> {
    const { counters, observe, version, bundle } = this.#parts;
    const observed = (await observe?.()) ?? { health: [], leases: [], conditions: [] };
    // That it has stopped nothing tells.
    this.#driftReturns();
    const stopped = observed.conditions.filter(({ status }) => status === 'False');
    const conditions = this.#conditions.list().map((condition) =>
      condition.type === 'Ready' && condition.status === 'True' && stopped[0] !== undefined
        ? {
            ...condition,
            status: 'False' as const,
            reason: stopped[0].reason,
            message: stopped.map(({ message }) => message).join('; '),
            lastTransitionTime: stopped[0].lastTransitionTime,
          }
        : condition,
    );
    return {
      id: this.id,
      observedGeneration: this.#observedGeneration,
      appliedGeneration: this.#appliedGeneration,
      forwardingGeneration: this.#forwardingGeneration,
      version,
      ...(bundle === undefined ? {} : { bundle }),
      startedAt: this.#startedAt,
      conditions: [...conditions, ...observed.conditions],
      health: observed.health,
      counters: [...(fresh ? await counters.read() : counters.latest)],
      leases: observed.leases,
    };
  }

  /** Ends the router's own work. Kernel and daemons stay as they are. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#queue;
    await this.#parts.store.close();
  }

  #verifies(): AnyFeature['verify'][] {
    return this.#running.map(({ feature }) => feature.verify);
  }

  async #enforce(
    started: number,
    accepted: Acceptance,
    store: (document: RouterDocument) => Storing,
  ): Promise<Outcome> {
    if (accepted.outcome !== 'accepted') return accepted;
    const acceptedAt = performance.now();
    const { document } = accepted;
    // The disk works while the tools are asked.
    const storing = store(document);
    let problems: readonly Problem[];
    try {
      problems = await this.#check(document);
    } catch (error) {
      await storing.drop();
      throw error;
    }
    if (problems.length > 0) {
      await storing.drop();
      return { outcome: 'refused', problems };
    }
    // Stored before it is applied: whenever the process is killed, the next start leads to it.
    await storing.keep();
    this.#document = document;
    await this.#apply(document);
    return {
      outcome: this.#appliedGeneration === document.generation ? 'in-force' : 'failed',
      timing: { accept: acceptedAt - started, kernel: performance.now() - acceptedAt },
    };
  }

  /** What the features' own tools say about a document. */
  async #check(document: RouterDocument): Promise<readonly Problem[]> {
    const problems: Problem[] = [];
    for (const one of this.#running) {
      const { check } = one.feature;
      if (check === undefined || this.#isUntouched(one, document)) continue;
      problems.push(...(await check(this.#parts.system, this.#rendered(one, document))));
    }
    return problems;
  }

  /** Renderings of a document that is not in force yet: checked first, applied next. */
  readonly #ahead = new WeakMap<RouterDocument, Map<string, unknown>>();

  #rendered({ feature }: Running, document: RouterDocument): unknown {
    let renderings = this.#ahead.get(document);
    if (renderings === undefined) this.#ahead.set(document, (renderings = new Map()));
    if (!renderings.has(feature.name)) renderings.set(feature.name, feature.render(document));
    return renderings.get(feature.name);
  }

  #isUntouched(one: Running, document: RouterDocument): boolean {
    const before = one.document;
    return (
      one.inForce &&
      before !== null &&
      before.id === document.id &&
      one.feature.reads.every((part) => before[part] === document[part])
    );
  }

  /** Applies every feature that the document touches; one that fails does not keep the others from it. */
  async #apply(document: RouterDocument): Promise<void> {
    for (const one of this.#running) {
      if (this.#isUntouched(one, document)) {
        one.document = document;
        continue;
      }
      const rendered = this.#rendered(one, document);
      const before = one.inForce ? one.rendered : null;
      one.rendered = rendered;
      one.document = document;
      one.inForce = false;
      try {
        const { waiting = [] } = await one.feature.apply(this.#parts.system, rendered, before);
        one.failure = null;
        one.waiting = waiting;
        one.inForce = waiting.length === 0;
      } catch (error) {
        one.failure = `${one.feature.name}: ${messageOf(error)}`;
      }
    }
    this.#ahead.delete(document);
    this.#settle(document);
  }

  /** Draws the conclusions of an apply or heal: generations, conditions, another try. */
  #settle(document: RouterDocument): void {
    const { generation } = document;
    this.#observedGeneration = generation;
    const failures = this.#running.flatMap(({ failure }) => failure ?? []);
    const waiting = this.#running.flatMap((one) => one.waiting);
    if (this.#running.every((one) => one.inForce || one.feature.isService))
      this.#forwardingGeneration = generation;
    const missing = waiting.filter(({ reason }) => reason === 'LegMissing');
    this.#conditions.set(
      'LegsPresent',
      missing.length === 0 ? 'True' : 'False',
      missing.length === 0 ? 'Present' : 'LegMissing',
      missing.length === 0 ? 'Every leg has its device' : missing.map(({ message }) => message).join('; '),
      generation,
    );
    if (failures.length === 0 && waiting.length === 0) {
      this.#appliedGeneration = generation;
      this.#retryDelay = FIRST_RETRY;
      clearTimeout(this.#retry);
      this.#retry = undefined;
      this.#state('Applied', `Generation ${generation} is in force`);
      return;
    }
    const first = waiting[0]?.reason ?? 'Waiting';
    this.#state(
      failures.length > 0 ? 'ApplyFailed' : first,
      [...failures, ...waiting.map(({ message }) => message)].join('; '),
    );
    this.#retryLater();
  }

  #state(reason: string, message: string): void {
    const status = reason === 'Applied' ? 'True' : 'False';
    this.#conditions.set('Applied', status, reason, message, this.#observedGeneration);
    this.#conditions.set(
      'Ready',
      status,
      reason === 'Applied' ? 'Ready' : reason,
      message,
      this.#observedGeneration,
    );
  }

  #retryLater(): void {
    if (this.#closed || this.#retry !== undefined) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#retryDelay = Math.min(LONGEST_RETRY, this.#retryDelay * 2);
      void this.heal();
    }, this.#retryDelay);
    this.#retry.unref();
  }

  #drifted(changes: readonly string[]): void {
    const message = `Changed by others and put back: ${changes.join('; ')}`;
    this.#drift.healed(changes, performance.now());
    if (!this.#driftReturns()) {
      this.#conditions.set('Drifted', 'True', 'Healing', message, this.generation);
      this.#conditions.set('Drifted', 'False', 'Healed', message, this.generation);
    }
    this.#parts.system.report({
      type: 'router.drift-healed',
      level: 'warning',
      subject: this.id,
      message,
    });
  }

  /** Drift that comes back as often as it is put right does not heal: it is stated for as long as it goes on. */
  #driftReturns(): boolean {
    const returning = this.#drift.returning(performance.now());
    if (returning.length > 0) {
      const message = `Changed by others again and again, as often as it is put back: ${returning.join('; ')}`;
      this.#conditions.set('Drifted', 'True', 'Returning', message, this.generation);
      return true;
    }
    const stated = this.#conditions.get('Drifted');
    if (stated?.status === 'True') {
      const message = 'What others changed again and again stays as it was put back';
      this.#conditions.set('Drifted', 'False', 'Healed', message, this.generation);
    }
    return false;
  }

  #next<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#queue.then(task);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
