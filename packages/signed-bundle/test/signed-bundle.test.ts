import { spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import {
  BundleError,
  type BundleErrorCode,
  keyId,
  openBundle,
  readBundle,
  readKeys,
  sealBundle,
} from 'signed-bundle';

const ours = generateKeyPairSync('ed25519');
const other = generateKeyPairSync('ed25519');
const code = Buffer.from("process.stdout.write('I run');\n");
const sealed = sealBundle(code, { version: '1.2.3+abc', privateKey: ours.privateKey });

/** How it is refused; `taken` when it is not. */
const verdict = (file: Buffer, trusted = [ours.publicKey]): BundleErrorCode | 'taken' => {
  try {
    openBundle(file, trusted);
    return 'taken';
  } catch (error) {
    if (error instanceof BundleError) return error.code;
    throw error;
  }
};

test('a bundle runs as it is, and says what it is', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'svt-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'program.mjs');
  writeFileSync(file, sealed);
  t.is(spawnSync(process.execPath, [file], { encoding: 'utf8' }).stdout, 'I run');
  const found = openBundle(sealed, [other.publicKey, ours.publicKey]);
  t.deepEqual(found, {
    version: '1.2.3+abc',
    keyId: keyId(ours.publicKey),
    checksum: createHash('sha256').update(sealed).digest('hex'),
  });
  t.deepEqual(readBundle(sealed), found);
  t.is(readBundle(code), null);
});

test('keys that are not trusted, and files that are no bundles', (t) => {
  t.is(verdict(sealed, []), 'UNKNOWN_KEY');
  t.is(verdict(sealed, [other.publicKey]), 'UNKNOWN_KEY');
  for (const file of [
    '',
    '\n',
    'process.exit()\n',
    '// selvage-bundle \n',
    '// selvage-bundle {}\n',
    '// selvage-bundle null\n',
  ])
    t.is(verdict(Buffer.from(file)), 'NOT_A_BUNDLE');
  t.is(verdict(sealed.subarray(0, 60)), 'NOT_A_BUNDLE');
});

test('no byte of it can be changed, added or left out', (t) => {
  for (let at = 0; at < sealed.length; at += 1) {
    for (const bit of [0, 3, 5, 7]) {
      const file = Buffer.from(sealed);
      file[at] = (file[at] as number) ^ (1 << bit);
      t.not(verdict(file), 'taken', `bit ${bit} of byte ${at}`);
    }
    t.not(
      verdict(Buffer.concat([sealed.subarray(0, at), sealed.subarray(at + 1)])),
      'taken',
      `without byte ${at}`,
    );
  }
  fc.assert(
    fc.property(fc.nat(sealed.length), fc.uint8Array({ minLength: 1, maxLength: 5 }), (at, more) => {
      t.not(verdict(Buffer.concat([sealed.subarray(0, at), more, sealed.subarray(at)])), 'taken');
    }),
  );
});

test('nothing of a header can be given to another, or be written in another way', (t) => {
  const end = sealed.indexOf('\n');
  const header = JSON.parse(sealed.toString('utf8', '// selvage-bundle '.length, end)) as Record<
    string,
    string
  >;
  const body = sealed.subarray(end + 1);
  const withHeader = (text: string): Buffer =>
    Buffer.concat([Buffer.from(`// selvage-bundle ${text}\n`), body]);
  t.is(verdict(withHeader(JSON.stringify(header))), 'taken', 'control');
  t.is(verdict(withHeader(JSON.stringify({ ...header, version: '9.9.9' }))), 'BAD_SIGNATURE');
  t.is(
    verdict(withHeader(JSON.stringify({ ...header, keyId: keyId(other.publicKey) })), [
      ours.publicKey,
      other.publicKey,
    ]),
    'BAD_SIGNATURE',
  );
  const forged = sealBundle(body, { version: header['version'] as string, privateKey: other.privateKey });
  const signature = (JSON.parse(forged.toString('utf8', 18, forged.indexOf('\n'))) as Record<string, string>)[
    'signature'
  ];
  t.is(verdict(withHeader(JSON.stringify({ ...header, signature }))), 'BAD_SIGNATURE');
  for (const text of [
    JSON.stringify({ ...header, more: 1 }),
    JSON.stringify(header, null, 1).replaceAll('\n', ' '),
    JSON.stringify(Object.fromEntries(Object.entries(header).toReversed())),
    JSON.stringify({ ...header, signature: `${header['signature']}=` }),
    JSON.stringify({ ...header, signature: header['signature']?.replace('==', '') }),
    `${JSON.stringify(header)} `,
  ])
    t.is(verdict(withHeader(text)), 'NOT_A_BUNDLE', text);
  // The version ends with its line: what is signed cannot be cut at another place.
  t.throws(() => sealBundle(code, { version: '1\n2', privateKey: ours.privateKey }), {
    instanceOf: TypeError,
  });
  t.throws(() => sealBundle(code, { version: '', privateKey: ours.privateKey }), { instanceOf: TypeError });
});

test('trusted keys stand one after another in PEM, and nothing else counts as one', (t) => {
  const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }) as string;
  const text = `# ours\n${pem(ours.publicKey)}\n# theirs\n${pem(other.publicKey)}`;
  t.deepEqual(readKeys(text).map(keyId), [keyId(ours.publicKey), keyId(other.publicKey)]);
  t.throws(() => readKeys(''), { instanceOf: TypeError });
  t.throws(() => readKeys(ours.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string), {
    instanceOf: TypeError,
  });
  t.throws(() => readKeys(pem(generateKeyPairSync('x25519').publicKey)), { message: /x25519, not ed25519/ });
  t.throws(() => readKeys(pem(ours.publicKey).replace(/\n.{8}/, '\nAAAAAAAA')), { instanceOf: TypeError });
});
