import test from 'ava';
import fc from 'fast-check';
import { routerFeatures } from '../../../router/features.ts';
import { planRouter } from '../../plan/router.ts';
import { arbitraryMask, arbitraryWorld, build } from './arbitrary-world.ts';

test('every feature of the router takes what is planned', (t) => {
  const { features } = routerFeatures();
  fc.assert(
    fc.property(arbitraryWorld, arbitraryMask, arbitraryMask, (world, present, altered) => {
      const document = planRouter(build(world, 3, present, altered).facts);
      t.deepEqual(
        features.flatMap((feature) => feature.verify(document)),
        [],
      );
    }),
  );
});

test('control: a document that was bent is not taken', (t) => {
  const { features } = routerFeatures();
  fc.assert(
    fc.property(arbitraryWorld, (world) => {
      const all = Array.from({ length: 64 }, () => true);
      const document = planRouter(build({ ...world, services: ['static-nat'] }, 3, all, all).facts);
      const bent = {
        ...document,
        staticNats: document.staticNats.map((nat) => ({ ...nat, guestAddress: '192.0.2.77' })),
      };
      t.true(features.flatMap((feature) => feature.verify(bent)).length > 0);
    }),
    { numRuns: 10 },
  );
});
