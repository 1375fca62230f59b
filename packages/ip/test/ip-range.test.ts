import test from 'ava';
import fc from 'fast-check';
import {
  compareIp,
  firstFree,
  type IpAddress,
  type IpError,
  type IpRange,
  type Ipv4,
  ipRange,
  ipv4FromNumber,
  ipv4ToNumber,
  ipv6FromBigInt,
  mergeRanges,
  parseIp,
  rangeContains,
  rangeSize,
  rangesOverlap,
  subtractRanges,
} from 'ip';

const ip = (text: string): IpAddress => parseIp(text)!;
const range = (first: string, last: string): IpRange => ipRange(ip(first), ip(last))!;

// A small world, so that a set of numbers is the model.
const worldRange: fc.Arbitrary<IpRange<Ipv4>> = fc
  .tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 12 }))
  .map(([first, more]) => ({ first: ipv4FromNumber(first), last: ipv4FromNumber(first + more) }));
const worldRanges = fc.array(worldRange, { maxLength: 8 });

function numbersOf(ranges: readonly IpRange<Ipv4>[]): Set<number> {
  const numbers = new Set<number>();
  for (const { first, last } of ranges) {
    for (let value = ipv4ToNumber(first); value <= ipv4ToNumber(last); value += 1) numbers.add(value);
  }
  return numbers;
}

function isTidy(ranges: readonly IpRange<Ipv4>[]): boolean {
  return ranges.every(({ first }, index) => {
    const previous = ranges[index - 1];
    return previous === undefined || ipv4ToNumber(first) > ipv4ToNumber(previous.last) + 1;
  });
}

test('a range needs one family and a right way round', (t) => {
  t.is(ipRange(ip('10.0.0.2'), ip('10.0.0.1')), null);
  t.is(ipRange(ip('10.0.0.2'), ip('::1')), null);
  t.is(rangeSize(range('10.0.0.1', '10.0.0.1')), 1n);
  t.is(rangeSize(range('::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')), 1n << 128n);
  t.true(rangeContains(range('10.0.0.1', '10.0.0.9'), ip('10.0.0.9')));
  t.false(rangeContains(range('10.0.0.1', '10.0.0.9'), ip('10.0.0.10')));
  t.false(rangeContains(range('10.0.0.1', '10.0.0.9'), ip('::a00:5')));
  t.true(rangesOverlap(range('10.0.0.1', '10.0.0.9'), range('10.0.0.9', '10.0.0.20')));
  t.false(rangesOverlap(range('10.0.0.1', '10.0.0.9'), range('10.0.0.10', '10.0.0.20')));
  const mixed = { first: ip('10.0.0.1'), last: ip('::1') };
  t.is(t.throws<IpError>(() => rangeSize(mixed))?.code, 'IP_FAMILY_MISMATCH');
});

test('merge and subtract, both families', (t) => {
  t.deepEqual(
    mergeRanges([
      range('::5', '::9'),
      range('10.0.0.4', '10.0.0.9'),
      range('10.0.0.1', '10.0.0.3'),
    ]) as object[],
    [range('10.0.0.1', '10.0.0.9'), range('::5', '::9')],
  );
  t.deepEqual(
    subtractRanges(
      [range('10.0.0.0', '10.0.0.255'), range('::', '::f')],
      [
        range('10.0.0.0', '10.0.0.0'),
        range('10.0.0.100', '10.0.0.199'),
        range('10.0.0.255', '10.0.0.255'),
        range('::', '::f'),
      ],
    ),
    [range('10.0.0.1', '10.0.0.99'), range('10.0.0.200', '10.0.0.254')],
  );
});

test('merge, subtract and overlap agree with sets of numbers', (t) => {
  fc.assert(
    fc.property(worldRanges, worldRanges, (from, taken) => {
      const merged = mergeRanges(from);
      const left = subtractRanges(from, taken);
      const gone = numbersOf(taken);
      const expected = [...numbersOf(from)].filter((value) => !gone.has(value));
      t.deepEqual(numbersOf(merged), new Set([...numbersOf(from)].sort((a, b) => a - b)));
      t.deepEqual(
        [...numbersOf(left)],
        [...expected].sort((a, b) => a - b),
      );
      return isTidy(merged) && isTidy(left);
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(worldRange, worldRange, (a, b) => {
      const inB = numbersOf([b]);
      return rangesOverlap(a, b) === [...numbersOf([a])].some((value) => inB.has(value));
    }),
  );
});

test('lowest free address: set and sorted array agree with a plain search', (t) => {
  fc.assert(
    fc.property(worldRange, fc.uniqueArray(fc.integer({ min: 0, max: 80 })), (within, usedNumbers) => {
      const used: IpAddress[] = usedNumbers.map((value) => ipv4FromNumber(value)).sort(compareIp);
      used.push(ip('::1'));
      const expected = [...numbersOf([within])].find((value) => !usedNumbers.includes(value));
      const answer = expected === undefined ? null : ipv4FromNumber(expected);
      return firstFree(within, used) === answer && firstFree(within, new Set(used)) === answer;
    }),
    { numRuns: 1000 },
  );
  t.is(firstFree(range('10.0.0.1', '10.0.0.2'), [ip('10.0.0.1'), ip('10.0.0.2')]), null);
  t.is(firstFree(range('2001:db8::1', '2001:db8::ffff'), [ip('2001:db8::1')]) as string, '2001:db8::2');
  // Against the contract, yet never an address in use.
  t.is(
    firstFree(range('10.0.0.1', '10.0.0.9'), [ip('10.0.0.1'), ip('10.0.0.1'), ip('10.0.0.3')]) as string,
    '10.0.0.4',
  );
});

test('a full /16 costs a few comparisons, not 65,000', (t) => {
  const full = Array.from({ length: 65_000 }, (_, index) => ipv4FromNumber(0x0a000001 + index));
  const within = range('10.0.0.1', '10.0.255.254');
  const started = performance.now();
  for (let run = 0; run < 100; run += 1) t.is(firstFree(within, full), ipv4FromNumber(0x0a000001 + 65_000));
  const each = (performance.now() - started) / 100;
  t.true(each < 2, `${each} ms each`);
  t.is(firstFree(range('::', '::ffff'), [ipv6FromBigInt(0n)]) as string, '::1');
});
