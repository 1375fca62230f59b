/** From what was sent to a document that may be put in force, or everything that is wrong with it. Pure. */
import {
  applyRouterDocumentChange,
  type CollectionName,
  collectionNames,
  type Problem,
  type RouterDocument,
  type RouterDocumentChange,
  verifyRouterDocument,
  verifyRouterDocumentChange,
} from 'documents';
import type { Scope } from '../feature.ts';
import { indexOf } from './checks.ts';
import { shareItems } from './share-items.ts';

type Verify = (document: RouterDocument, scope?: Scope) => Problem[];

/** What came of a document that was sent. */
export type Acceptance =
  | { readonly outcome: 'accepted'; readonly document: RouterDocument }
  | { readonly outcome: 'refused'; readonly problems: readonly Problem[] }
  /** The change does not start from the document in force. */
  | { readonly outcome: 'other-base' };

const refused = (problems: readonly Problem[]): Acceptance => ({ outcome: 'refused', problems });

/** Reads a whole document. Items that are the same as in force keep their identity. */
export const acceptDocument = (
  value: unknown,
  inForce: RouterDocument | null,
  verifies: readonly Verify[],
): Acceptance => {
  const shape = verifyRouterDocument(value);
  if (shape.length > 0) return refused(shape);
  const document =
    inForce === null ? (value as RouterDocument) : shareItems(inForce, value as RouterDocument);
  const problems = verifies.flatMap((verify) => verify(document));
  return problems.length > 0 ? refused(problems) : { outcome: 'accepted', document };
};

/** Ids a change touches. */
const scopeOf = (change: RouterDocumentChange): Scope => {
  const scope: Partial<Record<CollectionName, ReadonlySet<string>>> = {};
  for (const name of collectionNames) {
    const part = change.collections[name];
    if (part === undefined) continue;
    scope[name] = new Set([...part.upsert.map((item) => item.id), ...part.remove]);
  }
  return scope;
};

/** Legs that new items name and that are not there. */
const referenceProblems = (document: RouterDocument, change: RouterDocumentChange): Problem[] => {
  const legs = new Set(document.legs.map((leg) => leg.id));
  return collectionNames.flatMap((name) =>
    (change.collections[name]?.upsert ?? []).flatMap((item) =>
      (['leg', 'outLeg'] as const).flatMap((field) => {
        const leg = (item as { readonly leg?: string; readonly outLeg?: string })[field];
        if (leg === undefined || legs.has(leg)) return [];
        return [
          {
            pointer: `/${name}/${indexOf(document[name], item.id)}/${field}`,
            code: 'unknown-leg',
            message: `There is no leg ${leg}`,
            hint: `Use one of: ${[...legs].join(', ')}.`,
          },
        ];
      }),
    ),
  );
};

/** Reads a change to the document in force. Only what it touches is checked, against all the rest. */
export const acceptChange = (
  value: unknown,
  inForce: RouterDocument | null,
  verifies: readonly Verify[],
): Acceptance => {
  const shape = verifyRouterDocumentChange(value);
  if (shape.length > 0) return refused(shape);
  const change = value as RouterDocumentChange;
  const document = inForce === null ? null : applyRouterDocumentChange(inForce, change);
  if (document === null) return { outcome: 'other-base' };
  const whole = change.collections.legs !== undefined;
  const references = whole ? verifyRouterDocument(document) : referenceProblems(document, change);
  if (references.length > 0) return refused(references);
  const scope = whole || change.dns !== undefined ? undefined : scopeOf(change);
  const problems = verifies.flatMap((verify) => verify(document, scope));
  return problems.length > 0 ? refused(problems) : { outcome: 'accepted', document };
};
