import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { CliError } from '../connection.ts';
import {
  parseBoolean,
  parseIcmp,
  parseInteger,
  parseMember,
  parsePair,
  parsePorts,
  parseUserData,
} from '../options.ts';

test('one port is a range of one', (t) => {
  t.deepEqual(parsePorts('80'), { first: 80, last: 80 });
  t.deepEqual(parsePorts('8000-8010'), { first: 8000, last: 8010 });
});

test('text that is no port says what a port looks like', (t) => {
  for (const text of ['', 'http', '80-', '-80', '1-2-3', '8 0', '80,81']) {
    const error = t.throws(() => parsePorts(text), { instanceOf: CliError });
    t.is(error?.code, 'bad-option');
    t.true(error?.hint.includes('8000-8010'));
  }
});

test('true and false, and nothing else', (t) => {
  t.deepEqual([parseBoolean('true'), parseBoolean('false')], [true, false]);
  for (const text of ['', 'yes', '1', 'True']) t.throws(() => parseBoolean(text), { instanceOf: CliError });
});

test('ICMP types, codes and any', (t) => {
  t.deepEqual(parseIcmp('8'), { type: 8, code: null });
  t.deepEqual(parseIcmp('3/1'), { type: 3, code: 1 });
  t.deepEqual(parseIcmp('any'), { type: null, code: null });
  t.throws(() => parseIcmp('echo'), { instanceOf: CliError });
});

test('integers, pairs, members', (t) => {
  t.is(parseInteger('42'), 42);
  t.throws(() => parseInteger('4.2'), { instanceOf: CliError });
  t.deepEqual(parsePair('a=b=c'), ['a', 'b=c']);
  t.throws(() => parsePair('=b'), { instanceOf: CliError });
  t.deepEqual(parseMember('web-1:8080'), { instance: 'web-1', port: 8080 });
  t.throws(() => parseMember('web-1'), { instanceOf: CliError });
});

test('user data is text, or a file byte for byte', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'selvage-cli-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'user-data');
  const bytes = Buffer.from([0, 255, 10, 13, 128]);
  writeFileSync(file, bytes);
  t.deepEqual(Buffer.from(parseUserData(`@${file}`), 'base64'), bytes);
  t.is(parseUserData('hello'), 'aGVsbG8=');
  t.throws(() => parseUserData(`@${file}.missing`), { instanceOf: CliError, message: /cannot be read/ });
});
