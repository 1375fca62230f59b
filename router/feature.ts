import type { CollectionName, Problem, RouterDocument } from 'documents';
import type { System } from './system.ts';

/** Ids of the items a change touched, by collection; absent for "everything". Lets a feature check what is new against the rest. */
export type Scope = { readonly [Name in CollectionName]?: ReadonlySet<string> };

/**
 * One service of the router. Every feature is a folder of the same four files: `schema.ts` (the part of the document it
 * reads), `verify.ts`, `render.ts`, `apply.ts`, gathered by its `feature.ts` and listed once in `features.ts`.
 *
 * verify and render are pure and total: any document that passed every verify renders. apply is the only part with
 * effects; it takes the whole wanted state, and calling it twice changes nothing the second time.
 */
export interface Feature<Rendered> {
  readonly name: string;
  /** Everything wrong with this feature's part of `document`. With `scope`, only what involves the items named. */
  readonly verify: (document: RouterDocument, scope?: Scope) => Problem[];
  /** What the tools are to be given, complete. */
  readonly render: (document: RouterDocument) => Rendered;
  /** Asks the feature's own tool whether it would take `next`. Changes nothing. */
  readonly check?: (system: System, next: Rendered) => Promise<Problem[]>;
  /** What `apply` would change, in the tools' words; empty when nothing. Changes nothing. */
  readonly diff: (system: System, next: Rendered) => Promise<string>;
  /**
   * For a feature with a daemon of its own: what `apply` would do to that daemon. Null when another feature answers for the
   * same daemon. A feature without it changes nothing but the kernel. Changes nothing.
   */
  readonly outlook?: (system: System, next: Rendered) => Promise<ServiceOutlook | null>;
  /** Brings kernel or daemon to `next` with the least change. `before` is what this process applied last, null after a start. */
  readonly apply: (system: System, next: Rendered, before: Rendered | null) => Promise<Applied>;
  /** Compares what is there with what was applied last and mends it. Called on events and from time to time. */
  readonly heal: (system: System, current: Rendered) => Promise<Applied>;
}

/** What would happen to a service. */
export interface ServiceOutlook {
  readonly name: string;
  /** `told`: by a file it watches or a command on its socket, while it serves on. */
  readonly change: 'none' | 'told' | 'reload' | 'restart' | 'start' | 'stop';
  /** The difference in the tool's words. Without secrets. */
  readonly text: string;
}

/** What an apply or heal did. */
export interface Applied {
  /** Sentences for people, one for each thing changed; empty when all was right. */
  readonly changes: readonly string[];
  /** What has to wait for the world, such as a device that is not there yet. It is applied again when the world moves. */
  readonly waiting?: readonly Waiting[];
}

/** Why a feature could not do all it was asked, without anything having failed. */
export interface Waiting {
  /** Stable CamelCase word: `LegMissing`. */
  readonly reason: string;
  readonly message: string;
}
