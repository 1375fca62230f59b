import type { Problem, RouterDocument } from 'documents';
import type { Scope } from '../feature.ts';
import type { Connection } from './connection.ts';
import type { Fragment } from './fragment.ts';

/**
 * A feature that lives in the router's one table. Its files are those of every feature; what sets it apart is that its
 * rendering is a fragment, and that the table is applied as a whole, in one transaction.
 */
export interface RulesetFeature {
  readonly name: string;
  readonly verify: (document: RouterDocument, scope?: Scope) => Problem[];
  readonly render: (document: RouterDocument) => Fragment;
  /**
   * After a step from `before` to `next`: tells the connections that what is gone had let through or translated and
   * that nothing in `next` allows any more. Null when the step took nothing away. Without `before` it judges by `next`
   * alone.
   */
  readonly revoked?: (
    before: RouterDocument | null,
    next: RouterDocument,
  ) => ((connection: Connection) => boolean) | null;
}
