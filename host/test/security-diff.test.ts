import test from 'ava';
import fc from 'fast-check';
import type { SegmentPort } from 'documents';
import { namespaces } from 'node-netlink';
import { openNftables } from 'nftables-json';
import { observeSecurity, PortSecurity } from '../fabric/security/apply.ts';
import { diffSecurity } from '../fabric/security/diff.ts';
import { securityElements, securitySetNames } from '../fabric/security/render.ts';
import { guest, hostDocument, router, segment } from './fixtures/documents.ts';
import { matchesGolden } from './fixtures/golden.ts';

const { ports } = hostDocument(
  1,
  segment(1),
  router(1, 1),
  guest(2, 1, '10.1.1.2'),
  guest(3, 1, '2001:db8::3'),
);

test('the whole table of a router and two guests', (t) => {
  const { text } = diffSecurity(null, securityElements(ports), { removals: true });
  matchesGolden(t, 'security/whole', `# The whole table of a router and two guests.\n${text}`);
});

test('a guest comes and another goes: additions first, removals when its port is gone', (t) => {
  const observed = { rulesRight: true, elements: securityElements(ports.slice(0, 2)) };
  const wanted = securityElements([...ports.slice(0, 1), ...ports.slice(2)]);
  const before = diffSecurity(observed, wanted, { removals: false });
  const after = diffSecurity(observed, wanted, { removals: true });
  const text = `# A guest comes and another goes.\n# Before ports are made:\n${before.text}# All of it:\n${after.text}`;
  matchesGolden(t, 'security/guest-comes-and-goes', text);
});

const somePorts = fc
  .array(
    fc.record({
      number: fc.integer({ min: 0, max: 6 }),
      addresses: fc.option(fc.subarray(['10.1.1.2', '10.1.1.3', '2001:db8::2', '::1']), { nil: null }),
      mac: fc.constantFrom('02:00:00:00:00:02', '02:00:00:00:00:03'),
    }),
    { maxLength: 7 },
  )
  .map((items): SegmentPort[] =>
    [...new Map(items.map((item) => [item.number, item])).values()].map(({ number, addresses, mac }) => ({
      ...(ports[0] as SegmentPort),
      id: `port-${number}`,
      device: `pt${number}`,
      mac,
      security: addresses === null ? null : { addresses },
    })),
  );

const text = (elements: ReturnType<typeof securityElements>) =>
  JSON.stringify(securitySetNames.map((name) => [...elements[name]].sort()));

// On the kernel: the set of neighbour targets is declared by `typeof`, which the fake does not take.
test('a walk of wishes ends where the last alone would have led', async (t) => {
  const netns = `svt${process.pid}walk`;
  namespaces.create(netns);
  t.teardown(() => namespaces.remove(netns));
  const nftables = openNftables({ netns: `/run/netns/${netns}` });
  t.teardown(() => nftables.close());
  let security = new PortSecurity(nftables);
  await fc.assert(
    fc.asyncProperty(fc.array(somePorts, { minLength: 1, maxLength: 5 }), async (walk) => {
      for (const [index, wish] of walk.entries()) {
        // A restart of the agent in between: what is known has to be read.
        if (index % 2 === 1) security = new PortSecurity(nftables);
        await security.apply(securityElements(wish), { removals: false });
        await security.apply(securityElements(wish), { removals: true });
      }
      const wanted = securityElements(walk.at(-1) as SegmentPort[]);
      const observed = await observeSecurity(nftables);
      return (
        observed?.rulesRight === true &&
        text(observed.elements as ReturnType<typeof securityElements>) === text(wanted) &&
        (await security.apply(wanted, { removals: true })).length === 0 &&
        !(await security.touched())
      );
    }),
    { numRuns: 60 },
  );
  t.pass();
});
