/** Documents for property tests: few addresses, few ports, so that rules meet, overlap and follow each other. */
import fc from 'fast-check';
import {
  type CollectionName,
  type Problem,
  type RouterDocument,
  type RouterDocumentChange,
  verifyRouterDocument,
} from 'documents';
import { rulesetFeatures } from '../../features.ts';
import { verifyLegs } from '../../legs/verify.ts';
import { routerDocument } from './documents.ts';

const publicAddress = fc.constantFrom('198.51.100.10', '198.51.100.11', '198.51.100.12');
const guestAddress = fc.constantFrom('10.1.1.10', '10.1.1.11', '10.1.1.12');
const sources = fc.uniqueArray(
  fc.constantFrom(
    '0.0.0.0/0',
    '10.0.0.0/8',
    '10.1.0.0/16',
    '10.1.1.1/32',
    '192.0.2.0/24',
    '192.0.2.128/25',
    '0.0.0.0/1',
  ),
  { minLength: 1, maxLength: 3 },
);
const range = (most: number) =>
  fc
    .tuple(fc.integer({ min: 1, max: most }), fc.integer({ min: 0, max: 4 }))
    .map(([first, more]) => ({ first, last: first + more }));
const octet = fc.option(fc.constantFrom(0, 3, 8), { nil: null });
const matching = fc.oneof(
  fc.record({ protocol: fc.constantFrom('tcp' as const, 'udp' as const), ports: range(8) }),
  fc.record({ protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'icmp' as const, 'all' as const) }),
  fc.record({ protocol: fc.constant('icmp' as const), icmp: fc.record({ type: octet, code: octet }) }),
);
const id = (prefix: string) => fc.integer({ min: 10, max: 25 }).map((number) => `${prefix}-${number}`);
const list = <Item extends { readonly id: string }>(
  item: fc.Arbitrary<Item>,
  maxLength: number,
): fc.Arbitrary<Item[]> =>
  fc
    .uniqueArray(item, { maxLength, selector: (one) => one.id })
    .map((items) => items.toSorted((a, b) => (a.id < b.id ? -1 : 1)));

const parts = fc.record({
  firewallRules: list(
    fc
      .tuple(id('fw'), publicAddress, matching, sources)
      .map(([of, address, what, from]) => ({ id: of, publicAddress: address, ...what, sources: from })),
    10,
  ),
  egressPolicies: fc.constantFrom(
    [],
    [{ id: 'eg-1', leg: 'leg-guest0', default: 'allow' as const }],
    [{ id: 'eg-1', leg: 'leg-guest0', default: 'deny' as const }],
  ),
  egressRules: list(
    fc
      .tuple(id('egr'), matching, fc.constantFrom('0.0.0.0/0', '10.1.1.0/25', '10.1.1.10/32'), sources)
      .map(([of, what, from, to]) => ({
        id: of,
        leg: 'leg-guest0',
        ...what,
        sources: [from],
        destinations: to,
      })),
    6,
  ),
  staticNats: list(fc.record({ id: id('st'), publicAddress, guestAddress }), 2),
  portForwards: list(
    fc
      .tuple(
        id('pf'),
        publicAddress,
        fc.constantFrom('tcp' as const, 'udp' as const),
        range(30),
        guestAddress,
        fc.integer({ min: 0, max: 1 }),
      )
      .map(([of, address, protocol, ports, guest, shift]) => ({
        id: of,
        publicAddress: address,
        protocol,
        publicPorts: ports,
        guestAddress: guest,
        guestPorts: { first: ports.first + shift, last: ports.last + shift },
      })),
    8,
  ),
  sourceNats: fc.constantFrom(
    [],
    [
      {
        id: 'sn-1',
        leg: 'leg-guest0',
        outLeg: 'leg-public0',
        publicAddress: '198.51.100.10',
        ports: { first: 1024, last: 32_767 },
      },
    ],
    [
      {
        id: 'sn-1',
        leg: 'leg-guest0',
        outLeg: 'leg-public0',
        publicAddress: '198.51.100.10',
        ports: { first: 32_768, last: 60_999 },
      },
    ],
    [
      {
        id: 'sn-1',
        leg: 'leg-guest0',
        outLeg: 'leg-public0',
        publicAddress: '198.51.100.12',
        ports: { first: 32_768, last: 60_999 },
      },
    ],
  ),
  loadBalancers: fc.constantFrom(
    [],
    [
      {
        id: 'lb-1',
        publicAddress: '198.51.100.12',
        port: 88,
        protocol: 'tcp' as const,
        algorithm: 'roundrobin' as const,
        members: [],
      },
    ],
  ),
});

const problemsOf = (document: RouterDocument): Problem[] => [
  ...verifyRouterDocument(document),
  ...[verifyLegs, ...rulesetFeatures.map(({ verify }) => verify)].flatMap((verify) => verify(document)),
];

/** The document without the items that have problems. */
const valid = (document: RouterDocument): RouterDocument => {
  let current = document;
  for (let turn = 0; turn < 50; turn += 1) {
    const [problem] = problemsOf(current);
    if (problem === undefined) return current;
    const [, name = '', index = ''] = problem.pointer.split('/');
    const items = current[name as CollectionName] as readonly unknown[];
    current = { ...current, [name]: items.filter((_item, at) => at !== Number(index)) };
  }
  throw new Error(`still wrong: ${JSON.stringify(problemsOf(current))}`);
};

/** A document that verifies. */
export const anyDocument: fc.Arbitrary<RouterDocument> = parts.map((some) =>
  valid(routerDocument(some as unknown as Partial<RouterDocument>)),
);

/** A document that verifies, and a change to it that may be wrong in any way. */
export const anyChange: fc.Arbitrary<{
  readonly document: RouterDocument;
  readonly change: RouterDocumentChange;
}> = fc
  .tuple(
    anyDocument,
    parts,
    fc.subarray(['firewallRules', 'egressRules', 'staticNats', 'portForwards'] as const),
    fc.nat(),
  )
  .map(([document, other, names, pick]) => {
    const collections = Object.fromEntries(
      names.map((name) => {
        const gone = document[name].filter((_item, index) => (pick + index) % 3 === 0).map((item) => item.id);
        const come = other[name].filter((_item, index) => (pick + index) % 2 === 0);
        return [name, { upsert: come, remove: gone.filter((one) => !come.some((item) => item.id === one)) }];
      }),
    );
    const change = { schemaVersion: 1, id: document.id, baseGeneration: 1, generation: 2, collections };
    return { document, change: change as unknown as RouterDocumentChange };
  });

/** Several documents one after the other, sharing what they have in common as changes do. */
export const anyWalk = (length: number): fc.Arbitrary<RouterDocument[]> =>
  fc
    .array(anyDocument, { minLength: 2, maxLength: length })
    .map((documents) => documents.map((document, index) => ({ ...document, generation: index + 1 })));
