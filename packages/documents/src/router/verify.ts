import { type Prefix, parsePrefix, prefixesOverlap } from 'ip';
import { checker } from '../checker.ts';
import { orderingProblems } from '../ordering.ts';
import type { Problem } from '../problem.ts';
import { RouterDocumentChange } from './change.ts';
import { collectionNames, RouterDocument } from './document.ts';
import type { Leg } from './leg.ts';

const checkShape = checker(RouterDocument);
const checkChangeShape = checker(RouterDocumentChange);

const networksOf = (leg: Leg): Prefix[] =>
  leg.addresses
    .map((address) => parsePrefix(address, { hostBits: 'clear' }))
    .filter((network) => network !== null);

/** Problems of the legs among each other: devices, MACs, networks used twice. */
const legProblems = (legs: readonly Leg[]): Problem[] => {
  const problems: Problem[] = [];
  const seen = new Map<string, string>();
  for (const [index, leg] of legs.entries()) {
    for (const field of ['device', 'mac'] as const) {
      const key = `${field} ${leg[field]}`;
      const owner = seen.get(key);
      if (owner !== undefined) {
        problems.push({
          pointer: `/legs/${index}/${field}`,
          code: `duplicate-${field}`,
          message: `Leg ${leg.id} has the ${field} ${leg[field]} of leg ${owner}`,
          hint: `Give every leg a ${field} of its own.`,
        });
      }
      seen.set(key, leg.id);
    }
    for (const [other, later] of legs.entries()) {
      if (other <= index || leg.role !== 'guest' || later.role !== 'guest') continue;
      const clash = networksOf(leg).find((network) =>
        networksOf(later).some((theirs) => prefixesOverlap(network, theirs)),
      );
      if (clash === undefined) continue;
      problems.push({
        pointer: `/legs/${other}/addresses`,
        code: 'overlapping-prefix',
        message: `Leg ${later.id} shares addresses with leg ${leg.id} (${clash})`,
        hint: 'Guest networks of one router must not overlap; choose another prefix.',
      });
    }
  }
  return problems;
};

/** Problems of references between parts: a leg that is named but not there. */
const referenceProblems = (document: RouterDocument): Problem[] => {
  const legs = new Set(document.legs.map((leg) => leg.id));
  const named: readonly (readonly [
    string,
    readonly { readonly leg?: string; readonly outLeg?: string }[],
  ])[] = [
    ['egressPolicies', document.egressPolicies],
    ['egressRules', document.egressRules],
    ['sourceNats', document.sourceNats],
    ['dhcpSubnets', document.dhcpSubnets],
    ['dhcpHosts', document.dhcpHosts],
    ['metadataGuests', document.metadataGuests],
    ['routes', document.routes],
  ];
  const problems: Problem[] = [];
  for (const [collection, items] of named) {
    for (const [index, item] of items.entries()) {
      for (const field of ['leg', 'outLeg'] as const) {
        const leg = item[field];
        if (leg === undefined || legs.has(leg)) continue;
        problems.push({
          pointer: `/${collection}/${index}/${field}`,
          code: 'unknown-leg',
          message: `There is no leg ${leg}`,
          hint: `Use one of: ${[...legs].join(', ')}.`,
        });
      }
    }
  }
  for (const side of ['older', 'newer'] as const) {
    for (const [index, link] of (document.handover?.[side] ?? []).entries()) {
      if (legs.has(link.leg)) continue;
      problems.push({
        pointer: `/handover/${side}/${index}/leg`,
        code: 'unknown-leg',
        message: `There is no leg ${link.leg}`,
        hint: `Use one of: ${[...legs].join(', ')}.`,
      });
    }
  }
  return problems;
};

/**
 * All problems of a router document that can be seen without knowing its features: shape, order, legs, references.
 * Each feature adds its own (`router/<feature>/verify.ts`). An empty list makes `value` a RouterDocument.
 */
export const verifyRouterDocument = (value: unknown): Problem[] => {
  const shape = checkShape(value);
  if (shape.length > 0) return shape;
  const document = value as RouterDocument;
  return [
    ...collectionNames.flatMap((name) => orderingProblems(`/${name}`, document[name])),
    ...legProblems(document.legs),
    ...referenceProblems(document),
  ];
};

/** All problems of the shape of a change; what it leads to is verified when it is applied. */
export const verifyRouterDocumentChange = (value: unknown): Problem[] => checkChangeShape(value);
