import test from 'ava';
import fc from 'fast-check';
import { answer } from '../../metadata/answer.ts';
import { metadataFeature } from '../../metadata/feature.ts';
import type { RenderedGuest } from '../../metadata/render.ts';
import { TakenPasswords } from '../../metadata/taken-passwords.ts';
import { document } from './document.ts';
import { removeSystem, testSystem } from './test-system.ts';

const password = 'one-time-Secret';

const guestWith = (
  userData: Uint8Array,
  publicKeys: readonly string[],
  metaData: Record<string, string>,
): RenderedGuest => {
  const rendered = metadataFeature.render(
    document({
      metadataGuests: [
        {
          id: 'port-a',
          leg: 'leg-guest0',
          address: '10.1.1.11',
          instance: 'ins-a',
          hostname: 'a',
          userData: Buffer.from(userData).toString('base64'),
          publicKeys: [...publicKeys],
          metaData,
          password,
        },
      ],
    }),
  );
  return rendered.guests.get('10.1.1.11') as RenderedGuest;
};

const segment = fc.oneof(
  fc.constantFrom(
    'latest',
    'meta-data',
    'user-data',
    'public-keys',
    '..',
    '.',
    '',
    '0',
    'openssh-key',
    'password',
    '__proto__',
    '%2e%2e',
  ),
  fc.string(),
);

test('any path has an answer, and none of them is the password', (t) => {
  const guest = guestWith(Buffer.from('hello'), ['ssh-ed25519 AAAA'], { zone: 'one' });
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 6 }), (parts) => {
      const { status, body } = answer(guest, `/${parts.join('/')}`);
      return [200, 404].includes(status) && !body.toString('latin1').includes(password);
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

test('user data come back byte for byte, keys under every name they have', (t) => {
  const name = fc.stringMatching(/^[a-z][a-z0-9]{0,10}$/).map((text) => `x-${text}`);
  const value = fc.string().map((text) => text.replaceAll(/[\r\n]/g, ''));
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), fc.dictionary(name, value), (bytes, metaData) => {
      const guest = guestWith(bytes, [], metaData);
      const names = answer(guest, '/latest/meta-data/').body.toString().split('\n');
      return (
        answer(guest, '/latest/user-data').body.equals(Buffer.from(bytes)) &&
        Object.entries(metaData).every(
          ([key, text]) =>
            names.includes(key) &&
            answer(guest, `/latest/meta-data/${key}`).body.toString() === Buffer.from(text).toString() &&
            answer(guest, `/latest/${key}`).body.toString() === Buffer.from(text).toString(),
        )
      );
    }),
  );
  t.pass();
});

test('guests that save their passwords at the same moment all lose them, for good', async (t) => {
  const system = testSystem();
  t.teardown(() => removeSystem(system));
  const { subject, listeners } = metadataFeature.render(document());
  const one = guestWith(new Uint8Array(), [], {});
  const all = Array.from({ length: 50 }, (_, index) => ({ ...one, id: `port-${index}` }));
  const guests = new Map(all.map((guest, index) => [`10.1.1.${index + 2}`, guest]));
  const taken = new TakenPasswords(system);
  t.deepEqual(new Set(await Promise.all(all.map((guest) => taken.take(guest)))), new Set([true]));
  t.deepEqual(new Set(await Promise.all(all.map((guest) => taken.take(guest)))), new Set([false]));
  const after = new TakenPasswords(system);
  t.is((await after.settle({ subject, listeners, guests })).length, 50);
  for (const guest of all) t.is(await after.offered(guest), null);
});
