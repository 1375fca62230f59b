import test from 'ava';
import fc from 'fast-check';
import { type RouterMake, routerNeeds } from '../../model/router-needs.ts';

const bundle = (version: string) => ({ version, checksum: version.repeat(64).slice(0, 64) });
const made: RouterMake = {
  image: { wanted: 'namespace/1 node/24.1.0 nft/1.0.9', made: 'namespace/1 node/24.1.0 nft/1.0.9' },
  memory: { wanted: null, made: null },
  bundle: { wanted: bundle('a'), running: bundle('a') },
};

test('a router needs a replacement for what it is made from, a patch for what it runs, and says why', (t) => {
  t.deepEqual(routerNeeds(made), { needs: 'upToDate', because: '' });
  t.deepEqual(routerNeeds({ ...made, bundle: { wanted: bundle('b'), running: bundle('a') } }), {
    needs: 'patch',
    because: 'It runs the bundle a, and routers are to run b.',
  });
  t.deepEqual(
    routerNeeds({
      image: { wanted: 'namespace/1 node/24.2.0 nft/1.0.9', made: 'namespace/1 node/24.1.0 nft/1.0.9' },
      memory: { wanted: 2 ** 28, made: null },
      bundle: { wanted: bundle('b'), running: bundle('a') },
    }),
    {
      needs: 'replace',
      because:
        'It was made from node/24.1.0, its host has node/24.2.0. It was made with as much memory as its host gives and is to have 256 MiB of memory.',
    },
  );
});

test('what is not known asks for nothing', (t) => {
  const text = fc.option(fc.constantFrom('namespace/1 node/1', 'namespace/1 node/2', 'namespace/2 node/1'));
  const named = fc.option(fc.constantFrom('a', 'b', 'c').map(bundle));
  const size = fc.option(fc.constantFrom(1, 2));
  fc.assert(
    fc.property(
      fc.record({
        image: fc.record({ wanted: text, made: text }),
        memory: fc.record({ wanted: size, made: size }),
        bundle: fc.record({ wanted: named, running: named }),
      }),
      (facts) => {
        const { needs, because } = routerNeeds(facts);
        t.is(because === '', needs === 'upToDate');
        const { image, memory, bundle: program } = facts;
        const other =
          (image.wanted !== null && image.made !== null && image.wanted !== image.made) ||
          memory.wanted !== memory.made;
        t.is(needs === 'replace', other);
        if (program.wanted === null || program.running === null) t.not(needs, 'patch');
      },
    ),
  );
});
