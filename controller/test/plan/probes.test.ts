import test from 'ava';
import { verifyHostDocument } from 'documents';
import fc from 'fast-check';
import { planHost } from '../../plan/host.ts';
import { type ProbeFact, probeExit } from '../../plan/probes.ts';
import { arbitraryMask, arbitraryWorld, buildHost } from './arbitrary-world.ts';

test('probes are machines with an address each, pinned like guests, and gone with their network', (t) => {
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, fc.boolean(), (world, present, asks) => {
      const facts = {
        ...buildHost(world, present),
        zone: { id: 'zone-4k2v9x0d1m7q', publicMtu: 1500, hasPublicRange: true },
      };
      const outside: ProbeFact = {
        id: 'prb-000000000000',
        network: null,
        mac: '02:00:00:00:0f:00',
        address: '203.0.113.9',
        prefix: '203.0.113.0/24',
        gateway: '203.0.113.1',
        outside: null,
        dns: null,
        rate: 50,
      };
      const inside = facts.networks.map(
        (network, index): ProbeFact => ({
          id: `prb-00000000000${index + 1}`,
          network: network.id,
          mac: `02:00:00:00:0f:0${index + 1}`,
          address: '10.0.0.77',
          prefix: '10.0.0.0/24',
          gateway: '10.0.0.1',
          outside: { id: outside.id, address: outside.address },
          dns: asks ? '10.0.0.1' : null,
          rate: 50,
        }),
      );
      const document = planHost({ ...facts, probes: [...inside, outside] });
      t.deepEqual(verifyHostDocument(document), []);
      const implemented = facts.networks.filter(({ vni }) => vni !== null).length;
      const machines = document.machines.filter(({ kind }) => kind === 'probe');
      t.is(machines.length, implemented + 1);
      t.is(document.probes?.length ?? 0, implemented);
      for (const probe of document.probes ?? [])
        t.deepEqual(
          [probe.outside, probe.target, probe.dns],
          [outside.id, outside.address, asks ? '10.0.0.1' : null],
        );
      for (const machine of machines) {
        const ports = document.ports.filter((port) => port.machine === machine.id);
        t.is(ports.length, 1);
        t.deepEqual(
          ports.map(({ security, role }) => [role, `${security?.addresses[0]}/24`]),
          [['guest', machine.addresses?.[0]]],
        );
        t.is(document.fdb.filter(({ port }) => port === ports[0]?.id).length, 1);
      }
      // One whose outside is gone asks for names alone.
      const alone = planHost({ ...facts, probes: inside });
      t.deepEqual(verifyHostDocument(alone), []);
      t.true(
        (alone.probes ?? []).every(({ target, outside, inside }) => target === null && outside === inside),
      );
      // Without probes the document is as if there had never been any.
      t.deepEqual(planHost({ ...facts, probes: [] }), planHost(facts));
    }),
    { numRuns: 50 },
  );
});

test('the exception that lets a probe out is for its two addresses alone', (t) => {
  t.like(probeExit({ id: 'prb-4k2v9x0d1m7q', address: '10.0.0.77', outside: '203.0.113.9' }), {
    id: 'eg-4k2v9x0d1m7q',
    protocol: 'all',
    sources: ['10.0.0.77/32'],
    destinations: ['203.0.113.9/32'],
  });
});
