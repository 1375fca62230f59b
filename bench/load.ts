/**
 * 10,000 port forwards and as many firewall rules put into a router that has none: from the document sent to the answer
 * that says it is in force. Held against what loads the same rules from a text.
 */
import { openNftables } from 'nftables-json';
import { against, type Bench, type BenchContext, percentile, type Row } from './bench.ts';
import { rulesDocument } from './router-fixture/documents.ts';
import { Namespace } from './router-fixture/namespace.ts';
import { Path } from './router-fixture/path.ts';
import { RouterProcess, type Taken } from './router-fixture/router-process.ts';
import { Stopwatch } from './router-fixture/stopwatch.ts';
import { destinationsOf, iptablesRestore, RouterTexts } from './router-fixture/texts.ts';

const RULES = 10_000;
const RUNS = 9;

/** Elements of the two sets in the kernel, as nft lists them. */
const countElements = (router: Namespace): { portForwards: number; firewallRules: number } => {
  const count = (kind: 'set' | 'map', name: string): number => {
    const listing = router.run(['/usr/sbin/nft', '-j', 'list', kind, 'inet', 'selvage', name]);
    const { nftables } = JSON.parse(listing) as {
      readonly nftables: readonly Readonly<Record<string, { readonly elem?: readonly unknown[] }>>[];
    };
    return nftables.flatMap((object) => object[kind]?.elem ?? []).length;
  };
  return { portForwards: count('map', 'port_forwards'), firewallRules: count('set', 'firewall_ports') };
};

/** Runs `task` with a new router daemon in a new namespace with links. */
const withRouter = async <Result>(
  name: string,
  task: (router: RouterProcess, path: Path) => Promise<Result>,
): Promise<Result> => {
  const path = new Path(name);
  try {
    const router = await RouterProcess.start(path.router);
    try {
      return await task(router, path);
    } finally {
      await router.end();
    }
  } finally {
    path.remove();
  }
};

const withNamespace = async <Result>(
  name: string,
  task: (namespace: Namespace) => Promise<Result>,
): Promise<Result> => {
  const namespace = new Namespace(name);
  try {
    return await task(namespace);
  } finally {
    namespace.remove();
  }
};

/** ms of a program that is given a file, in an empty namespace. */
const load = (name: string, command: readonly string[], input: string): Promise<number> =>
  withNamespace(name, async (namespace) => {
    const stopwatch = new Stopwatch(namespace);
    try {
      // The process that measures is warm: it has started a program before.
      await stopwatch.time([['/bin/true']]);
      return await stopwatch.time([command], input);
    } finally {
      stopwatch.end();
    }
  });

const loadRaw = (name: string, text: string): Promise<number> =>
  withNamespace(name, async (namespace) => {
    const nftables = openNftables({ netns: `/run/netns/${namespace.name}` });
    try {
      await nftables.generation();
      const started = performance.now();
      await nftables.apply(text);
      return performance.now() - started;
    } finally {
      await nftables.close();
    }
  });

/** The load of a new router that has its legs and no rules, ms, and what the kernel then holds. */
const loadRouter = (
  name: string,
  rules: number,
): Promise<{ readonly taken: Taken; readonly counted: ReturnType<typeof countElements> }> =>
  withRouter(name, async (router, path) => {
    await router.put({ ...rulesDocument(1, rules), portForwards: [], firewallRules: [] });
    const taken = await router.put(rulesDocument(2, rules));
    return { taken, counted: countElements(path.router) };
  });

const run = async ({ runs, tell }: BenchContext): Promise<Row[]> => {
  const id = `svb${process.pid}-`;
  const document = rulesDocument(1, RULES);
  const text = new RouterTexts().next(document);
  const restore = iptablesRestore(destinationsOf(document));
  const rounds = runs ?? RUNS;
  const ours: Taken[] = [];
  const first: number[] = [];
  const nft: number[] = [];
  const raw: number[] = [];
  const iptables: number[] = [];
  let counted = { portForwards: 0, firewallRules: 0 };
  for (let round = 0; round < rounds; round += 1) {
    const loaded = await loadRouter(`${id}a`, RULES);
    ours.push(loaded.taken);
    counted = loaded.counted;
    nft.push(await load(`${id}n`, ['/usr/sbin/nft', '-f'], text));
    first.push(await withRouter(`${id}f`, async (router) => (await router.put(document)).answered));
    raw.push(await loadRaw(`${id}l`, text));
    iptables.push(await load(`${id}i`, ['/usr/sbin/iptables-nft-restore'], restore));
    const [last, bare] = [loaded.taken.answered, nft.at(-1) ?? 0].map((ms) => ms.toFixed(0));
    tell(`${round + 1} of ${rounds}: ${last} ms, nft -f ${bare} ms`);
  }
  const half = (await loadRouter(`${id}h`, RULES / 2)).counted;
  const median = (values: readonly number[]): number => percentile(values, 0.5);
  const answered = median(ours.map((taken) => taken.answered));
  const bare = median(nft);
  const elements = (name: string, count: typeof counted, wanted: number): Row => ({
    name: `control: ${name}`,
    value: count.portForwards + count.firewallRules,
    unit: 'elements',
    reach: `${wanted} and ${wanted}`,
    met: count.portForwards === wanted && count.firewallRules === wanted,
  });
  return [
    against('10k + 10k into an empty router, PUT sent to in force', answered, 'ms', bare, 'nft -f', {
      text: '<= 1.5x',
      met: answered <= 1.5 * bare,
    }),
    against(
      'PUT sent to the kernel announcing the table',
      median(ours.map((taken) => taken.inKernel)),
      'ms',
      bare,
      'nft -f',
    ),
    against(
      'the same as the first document of a new router, legs and all',
      median(first),
      'ms',
      bare,
      'nft -f',
    ),
    against('raw libnftables, in a process that runs', median(raw), 'ms', bare, 'nft -f'),
    against('iptables-nft-restore of as many rules', median(iptables), 'ms', bare, 'nft -f'),
    elements('listed from the kernel after 10k + 10k', counted, RULES),
    elements('listed when half is given', half, RULES / 2),
  ];
};

export const bench: Bench = {
  name: 'load',
  description:
    '10k port forwards and 10k firewall rules into an empty router, against nft -f of the same text',
  run,
};
