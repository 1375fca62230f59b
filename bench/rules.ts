/**
 * One port forward with its firewall rule added to a router that has many, then removed, in the real daemon. Measured is,
 * by the daemon's own clock (Server-Timing), from the change accepted to the transaction done: rendered, compared, stored,
 * applied. That is held against what applies the bare text, and against iptables. The whole way as others see it is told
 * beside it: from the change sent to its socket until the kernel announces the new table, and until the answer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type KernelNftables, openNftables } from 'nftables-json';
import { against, type Bench, type BenchContext, percentile, type Row } from './bench.ts';
import { Datagrams } from './router-fixture/datagrams.ts';
import {
  type AddedPair,
  addedPair,
  pairChange,
  rulesDocument,
  type Sources,
} from './router-fixture/documents.ts';
import { startEcho } from './router-fixture/echo-server.ts';
import { Namespace } from './router-fixture/namespace.ts';
import { Path } from './router-fixture/path.ts';
import { RouterProcess, type Taken } from './router-fixture/router-process.ts';
import { Stopwatch } from './router-fixture/stopwatch.ts';
import { destinationsOf, iptablesRestore, iptablesRules, RouterTexts } from './router-fixture/texts.ts';

const SIZES = [10, 1000, 10_000, 30_000] as const;
const SMALL = 1000;
const MIDDLE = 10_000;
const LARGEST = 30_000;
const ROUNDS = 200;
/** Rounds of the variant that only informs. */
const PREFIX_ROUNDS = 50;
/** How often the slow ones are measured, by size. */
const SLOW: Readonly<Record<number, { readonly changes: number; readonly restores: number }>> = {
  10: { changes: 20, restores: 5 },
  1000: { changes: 20, restores: 5 },
  10_000: { changes: 10, restores: 5 },
  30_000: { changes: 4, restores: 1 },
};
/** Changes before the measured ones: a daemon lives for months, its first changes are told in a row of their own. */
const WARM_UP = 20;
/** Longer than the daemon keeps its nftables helper without work, ms. */
const REST = 62_000;

interface Times {
  readonly add: number[];
  readonly remove: number[];
}

const noTimes = (): Times => ({ add: [], remove: [] });

/** Everything measured at one size, ms. */
interface Measured {
  /** Of the daemon, from accepted to done. */
  readonly ours: Times;
  /** As seen from outside, from sent to announced. */
  readonly inKernel: Times;
  readonly answered: Times;
  readonly raw: Times;
  readonly iptables: Times;
  readonly restore: number[];
  /** The first change of a new daemon. */
  readonly first: number[];
}

/** The texts of a pair's coming and going as the router renders them; they are the same whatever else is there. */
const pairTexts = (pair: AddedPair): Readonly<Record<keyof Times, string>> => {
  const texts = new RouterTexts();
  const base = rulesDocument(1, 0);
  texts.next(base);
  const add = texts.next({
    ...base,
    portForwards: [pair.portForward],
    firewallRules: [pair.firewallRule],
  });
  return { add, remove: texts.next(base) };
};

/** Bare libnftables and iptables, each in a namespace of its own that has the same rules. */
class Rivals {
  readonly #namespaces: readonly Namespace[];
  readonly #nftables: KernelNftables;
  readonly #stopwatch: Stopwatch;
  readonly #restore: string;
  readonly #whole: string;

  constructor(name: string, rules: number, sources: Sources) {
    const document = rulesDocument(1, rules, [], sources);
    const raw = new Namespace(`${name}raw`);
    const iptables = new Namespace(`${name}ipt`);
    this.#namespaces = [raw, iptables];
    this.#nftables = openNftables({ netns: `/run/netns/${raw.name}` });
    this.#stopwatch = new Stopwatch(iptables);
    this.#restore = iptablesRestore(destinationsOf(document));
    this.#whole = new RouterTexts().next(document);
  }

  async load(): Promise<void> {
    await this.raw(this.#whole);
    await this.restore();
  }

  async raw(text: string): Promise<number> {
    const started = performance.now();
    await this.#nftables.apply(text);
    return performance.now() - started;
  }

  iptables(what: '-A' | '-D', pair: AddedPair): Promise<number> {
    return this.#stopwatch.time(
      iptablesRules(what, pair.to).map((args) => ['/usr/sbin/iptables-nft', ...args]),
    );
  }

  restore(): Promise<number> {
    return this.#stopwatch.time([['/usr/sbin/iptables-nft-restore']], this.#restore);
  }

  async end(): Promise<void> {
    this.#stopwatch.end();
    await this.#nftables.close();
    for (const namespace of this.#namespaces) namespace.remove();
  }
}

/** Puts a pair in or takes it out, in the real daemon. */
const change = async (router: RouterProcess, pair: AddedPair, what: keyof Times): Promise<Taken> =>
  router.patch(pairChange(router.generation, pair, what));

/** All that is measured with `rules` rules there, ours and theirs in turn. */
const measure = async (
  name: string,
  router: RouterProcess,
  rules: number,
  rounds: number,
  sources: Sources,
): Promise<Measured> => {
  const measured: Measured = {
    ours: noTimes(),
    inKernel: noTimes(),
    answered: noTimes(),
    raw: noTimes(),
    iptables: noTimes(),
    restore: [],
    first: [],
  };
  const { changes, restores } =
    sources === 'anyone' ? (SLOW[rules] ?? { changes: 5, restores: 1 }) : { changes: 0, restores: 0 };
  const rivals = new Rivals(name, rules, sources);
  try {
    await rivals.load();
    await router.put(rulesDocument(router.generation + 1, rules, [], sources));
    for (let round = -WARM_UP / 2; round < rounds; round += 1) {
      const pair = addedPair(round + WARM_UP, rules, 'tcp', sources);
      const texts = pairTexts(pair);
      for (const what of ['add', 'remove'] as const) {
        const taken = await change(router, pair, what);
        if (measured.first.length === 0) measured.first.push(taken.inKernel);
        if (round < 0) {
          await rivals.raw(texts[what]);
          continue;
        }
        measured.ours[what].push(taken.fromAccepted);
        measured.inKernel[what].push(taken.inKernel);
        measured.answered[what].push(taken.answered);
        measured.raw[what].push(await rivals.raw(texts[what]));
      }
    }
    for (let run = 0; run < changes; run += 1) {
      const pair = addedPair(run, rules, 'tcp', sources);
      measured.iptables.add.push(await rivals.iptables('-A', pair));
      measured.iptables.remove.push(await rivals.iptables('-D', pair));
    }
    for (let run = 0; run < restores; run += 1) measured.restore.push(await rivals.restore());
    return measured;
  } finally {
    await rivals.end();
  }
};

/** Answers that a packet to the added rule's port gets: before it is there, while it is, and after. */
const control = async (path: Path, router: RouterProcess): Promise<Row[]> => {
  const rules = SMALL;
  const pair = addedPair(1, rules, 'udp');
  await startEcho(path.guest, pair.to.guestPort);
  const answers = (): number => {
    let count = 0;
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const client = new Datagrams(path.outside.name, {
        address: pair.to.publicAddress,
        port: pair.to.publicPort,
      });
      if (client.roundTrip() !== null) count += 1;
      client.close();
    }
    return count;
  };
  await router.put(rulesDocument(router.generation + 1, rules));
  const before = answers();
  await change(router, pair, 'add');
  const during = answers();
  await change(router, pair, 'remove');
  const after = answers();
  return [
    {
      name: 'control: of 3 packets to the added rule, answered',
      value: during,
      unit: 'answers',
      reach: '3',
      met: during === 3,
    },
    {
      name: 'control: of 6 packets before it is added and after it is removed, answered',
      value: before + after,
      unit: 'answers',
      reach: '0',
      met: before + after === 0,
    },
  ];
};

const sizeText = (rules: number): string => (rules >= 1000 ? `${rules / 1000}k` : String(rules));

/** Rows of one size. */
const rowsOf = (rules: number, label: string, measured: Measured, limit: number | null): Row[] => {
  const rows: Row[] = [];
  for (const what of ['add', 'remove'] as const) {
    const ours = measured.ours[what];
    const raw = measured.raw[what];
    const at = `${what} at ${sizeText(rules)}${label}`;
    const p99 = percentile(ours, 0.99);
    const p99Row = [`${at} p99`, p99, 'ms', percentile(raw, 0.99), 'raw libnftables'] as const;
    rows.push(
      against(`${at} p50`, percentile(ours, 0.5), 'ms', percentile(raw, 0.5), 'raw libnftables'),
      limit === null ? against(...p99Row) : against(...p99Row, { text: `<= ${limit} ms`, met: p99 <= limit }),
      ...(['inKernel', 'answered'] as const).flatMap((until) =>
        [0.5, 0.99].map((share) => ({
          name: `${at} p${share * 100}, PATCH sent to ${until === 'inKernel' ? 'announced by the kernel' : 'answered'}`,
          value: percentile(measured[until][what], share),
          unit: 'ms',
          met: true,
        })),
      ),
    );
    const iptables = measured.iptables[what];
    if (iptables.length > 0) {
      const rival = `iptables-nft ${what === 'add' ? '-A' : '-D'}, both rules`;
      rows.push(against(`${at} p50`, percentile(ours, 0.5), 'ms', percentile(iptables, 0.5), rival));
    }
  }
  rows.push({
    name: `add at ${sizeText(rules)}${label}, the first of a new daemon, sent to announced`,
    value: measured.first[0] ?? Number.NaN,
    unit: 'ms',
    met: true,
  });
  if (measured.restore.length > 0) {
    const p99 = percentile(measured.ours.add, 0.99);
    const restore = percentile(measured.restore, 0.5);
    rows.push(
      against(
        `add at ${sizeText(rules)}${label} p99`,
        p99,
        'ms',
        restore,
        'iptables-nft-restore of everything, p50',
        rules === MIDDLE ? { text: '>= 20x faster', met: restore / p99 >= 20 } : undefined,
      ),
    );
  }
  return rows;
};

/** The figure at the largest size against the same at a small one. */
const growth = (what: keyof Times, bySize: ReadonlyMap<number, Measured>): Row => {
  const [large, small] = [LARGEST, SMALL].map((rules) =>
    percentile(bySize.get(rules)?.ours[what] ?? [], 0.99),
  ) as [number, number];
  return against(`${what} at 30k p99`, large, 'ms', small, 'its own at 1k', {
    text: '<= 2x',
    met: large <= 2 * small,
  });
};

const run = async ({ runs, tell }: BenchContext): Promise<Row[]> => {
  const rounds = runs ?? ROUNDS;
  const id = `svb${process.pid}-`;
  const paths: Path[] = [];
  const routers: RouterProcess[] = [];
  const start = async (): Promise<RouterProcess> => {
    const path = new Path(`${id}${paths.length}`);
    paths.push(path);
    const router = await RouterProcess.start(path.router);
    routers.push(router);
    return router;
  };
  try {
    const rows: Row[] = [];
    const bySize = new Map<number, Measured>();
    for (const rules of SIZES) {
      const measured = await measure(`${id}${rules}`, await start(), rules, rounds, 'anyone');
      bySize.set(rules, measured);
      const [p50, p99] = [0.5, 0.99].map((share) => percentile(measured.ours.add, share).toFixed(2));
      tell(`at ${rules}: add p50 ${p50} ms, p99 ${p99} ms`);
      rows.push(...rowsOf(rules, '', measured, rules === LARGEST ? 10 : null));
    }
    rows.push(growth('add', bySize), growth('remove', bySize));
    const rested = performance.now();
    for (const rules of [SMALL, MIDDLE]) {
      const name = `${id}p${rules}`;
      const prefixRounds = Math.min(rounds, PREFIX_ROUNDS);
      const measured = await measure(name, await start(), rules, prefixRounds, 'prefix');
      tell(`at ${rules}, all rules with a source prefix: measured`);
      rows.push(...rowsOf(rules, ', source prefixes', measured, null));
    }
    const [path, router] = [paths[0], routers[0]];
    if (path !== undefined && router !== undefined) rows.push(...(await control(path, router)));
    const largest = routers[SIZES.indexOf(LARGEST)];
    if (largest !== undefined) {
      tell('waiting until a router has been at rest for a minute');
      await sleep(Math.max(0, rested + REST - performance.now()));
      const taken = await change(largest, addedPair(0, LARGEST, 'tcp'), 'add');
      rows.push({
        name: 'add at 30k, the first after a minute without changes, sent to announced',
        value: taken.inKernel,
        unit: 'ms',
        met: true,
      });
    }
    return rows;
  } finally {
    for (const router of routers) await router.end();
    for (const path of paths) path.remove();
  }
};

export const bench: Bench = {
  name: 'rules',
  description:
    'a port forward with its firewall rule added and removed at 10 to 30k: from the change accepted to the kernel',
  run,
};
