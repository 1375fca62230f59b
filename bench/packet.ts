/**
 * What rules cost the packets: the round trip of the first packet of a connection and of later ones through our router,
 * with 10 to 10,000 port forwards and as many firewall rules, and the throughput of one flow. Held against a router of
 * three bare nft rules, and against iptables with the same rules in a row. The rule that matches is the last.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { against, type Bench, type BenchContext, percentile, type Row } from './bench.ts';
import { Datagrams, onEchoProcessor } from './router-fixture/datagrams.ts';
import { type Destination, destinationOf, rulesDocument } from './router-fixture/documents.ts';
import { startEcho } from './router-fixture/echo-server.ts';
import { Path } from './router-fixture/path.ts';
import { RouterProcess } from './router-fixture/router-process.ts';
import { destinationsOf, iptablesRestore } from './router-fixture/texts.ts';

const SIZES = [10, 1000, 10_000] as const;
const LARGEST = 10_000;
/** Short rounds, ours and theirs in turn, so that what else happens on the machine meets all of them. */
const ROUNDS = 60;
const NEW_PER_ROUND = 20;
const ESTABLISHED_PER_ROUND = 100;
/** Packets at the start of each turn that are not counted: they wake the echo. */
const WAKING = 5;
/** Short flows, many rounds, in each ours, theirs, theirs, ours: what else the machine does meets both alike. */
const FLOW_ROUNDS = 40;
const FLOW_TURNS = ['ours', 'bare', 'bare', 'ours'] as const;
const FLOW_BYTES = '768M';
/** Longest life of one iperf3, ms. */
const FLOW_LIMIT = 15_000;
const FLOW_PORT = 5201;
const FIRST_SOURCE_PORT = 2000;
/** No rule leads from here. */
const CLOSED_PORT = 60_000;

/** The ways a packet can take. */
const WAYS = ['ours', 'bare', 'iptables'] as const;
type Way = (typeof WAYS)[number];
type Ways<Value> = Readonly<Record<Way, Value>>;

const flowTo = (rules: number): Destination => ({
  ...destinationOf(rules - 1, rules, 'tcp'),
  publicPort: FLOW_PORT,
  guestPort: FLOW_PORT,
});

/** Translate, let pass what is known, let pass what is new: nothing does with less. */
const bareRules = (to: Destination): string => `flush ruleset
table ip bare {
  chain translate {
    type nat hook prerouting priority dstnat;
    ip daddr ${to.publicAddress} ${to.protocol} dport ${to.publicPort} dnat to ${to.guestAddress}:${to.guestPort}
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ip daddr ${to.guestAddress} ${to.protocol} dport ${to.guestPort} ct state new accept
  }
}
`;

/** Round trips of one way, microseconds. */
interface RoundTrips {
  readonly fresh: number[];
  readonly established: number[];
}

/** Round trips at one size, the ways in turn. */
const measureRoundTrips = (paths: Ways<Path>, to: Destination, rounds: number): Ways<RoundTrips> => {
  const result = {
    ours: { fresh: [], established: [] },
    bare: { fresh: [], established: [] },
    iptables: { fresh: [], established: [] },
  } satisfies Ways<RoundTrips> as Ways<RoundTrips>;
  const target = { address: to.publicAddress, port: to.publicPort };
  let port = FIRST_SOURCE_PORT;
  const answered = (value: number | null, way: Way): number => {
    if (value === null) throw new Error(`${way}: a packet was not answered`);
    return value;
  };
  const lasting = WAYS.map((way) => ({
    way,
    namespace: paths[way].outside.name,
    client: new Datagrams(paths[way].outside.name, target),
  }));
  try {
    for (let round = 0; round < rounds; round += 1) {
      // Nobody is always first.
      for (let turn = 0; turn < WAYS.length; turn += 1) {
        const { way, namespace, client } = lasting[(round + turn) % WAYS.length] as (typeof lasting)[number];
        for (let count = 0; count < WAKING; count += 1) answered(client.roundTrip(), way);
        for (let count = 0; count < ESTABLISHED_PER_ROUND; count += 1) {
          result[way].established.push(answered(client.roundTrip(), way));
        }
        for (let count = 0; count < NEW_PER_ROUND; count += 1) {
          port += 1;
          const once = new Datagrams(namespace, target, { port });
          result[way].fresh.push(answered(once.roundTrip(), way));
          once.close();
        }
      }
    }
  } finally {
    for (const { client } of lasting) client.close();
  }
  return result;
};

/** Gbit/s of one TCP flow. */
const measureFlow = async (path: Path, to: Destination): Promise<number> => {
  const options = { timeout: FLOW_LIMIT, killSignal: 'SIGKILL' } as const;
  const iperf = (namespace: string, args: readonly string[]): ChildProcessByStdio<null, Readable, null> =>
    spawn('/usr/sbin/ip', ['netns', 'exec', namespace, '/usr/bin/iperf3', ...args], {
      ...options,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  const server = iperf(path.guest.name, ['-s', '-1', '--forceflush', `--port=${to.guestPort}`]);
  try {
    await Promise.race([once(server.stdout, 'data'), once(server, 'exit')]);
    const client = iperf(path.outside.name, [
      '-J',
      `--client=${to.publicAddress}`,
      `--port=${to.publicPort}`,
      `--bytes=${FLOW_BYTES}`,
      '--connect-timeout=3000',
    ]);
    const output = await text(client.stdout);
    const { end, error } = JSON.parse(output) as {
      readonly error?: string;
      readonly end?: { readonly sum_received?: { readonly bits_per_second: number } };
    };
    const bits = end?.sum_received?.bits_per_second;
    if (bits === undefined) throw new Error(`iperf3: ${error ?? 'no result'}`);
    return bits / 1e9;
  } finally {
    server.kill('SIGKILL');
  }
};

const sizeText = (rules: number): string => (rules >= 1000 ? `${rules / 1000}k` : String(rules));

const rowsOf = (rules: number, trips: Ways<RoundTrips>): Row[] => {
  const median = (way: Way, what: keyof RoundTrips): number => percentile(trips[way][what], 0.5);
  const rows: Row[] = [];
  for (const [what, name, limit] of [
    ['fresh', 'new', 1.25],
    ['established', 'established', 1.1],
  ] as const) {
    const [ours, bare] = [median('ours', what), median('bare', what)];
    const limited = what === 'established' || rules === LARGEST;
    rows.push(
      against(
        `round trip of ${name} connections at ${sizeText(rules)}, p50`,
        ours,
        'us',
        bare,
        'three bare nft rules',
        limited ? { text: `<= ${limit}x`, met: ours <= limit * bare } : undefined,
      ),
      against(
        `round trip of ${name} connections at ${sizeText(rules)}, p50`,
        ours,
        'us',
        median('iptables', what),
        'linear iptables-nft',
      ),
    );
  }
  return rows;
};

const run = async ({ runs, tell }: BenchContext): Promise<Row[]> => {
  const rounds = runs ?? ROUNDS;
  const id = `svb${process.pid}-`;
  const made: Path[] = [];
  let router: RouterProcess | undefined;
  const makePath = (name: string): Path => {
    const path = new Path(`${id}${name}`);
    made.push(path);
    return path;
  };
  try {
    const paths: Ways<Path> = { ours: makePath('a'), bare: makePath('b'), iptables: makePath('i') };
    router = await RouterProcess.start(paths.ours.router);
    for (const way of ['bare', 'iptables'] as const) paths[way].forwardByHand(LARGEST);
    const rows: Row[] = [];
    for (const rules of SIZES) {
      const to = destinationOf(rules - 1, rules);
      const echoes: ChildProcess[] = [];
      try {
        for (const way of WAYS) echoes.push(await startEcho(paths[way].guest, to.guestPort));
        const document = rulesDocument(router.generation + 1, rules, [flowTo(rules)]);
        await router.put(document);
        paths.bare.router.run(['/usr/sbin/nft', '-f', '-'], bareRules(to));
        const udp = destinationsOf(document).slice(0, rules);
        paths.iptables.router.run(['/usr/sbin/iptables-nft-restore'], iptablesRestore(udp));
        await sleep(500);
        rows.push(
          ...rowsOf(
            rules,
            onEchoProcessor(() => measureRoundTrips(paths, to, rounds)),
          ),
        );
        tell(`round trips at ${rules} measured`);
      } finally {
        for (const each of echoes) each.kill('SIGKILL');
      }
    }
    const closed = destinationOf(LARGEST - 1, LARGEST);
    const client = new Datagrams(paths.ours.outside.name, {
      address: closed.publicAddress,
      port: CLOSED_PORT,
    });
    let answers = 0;
    for (let attempt = 0; attempt < 3; attempt += 1) answers += client.roundTrip() === null ? 0 : 1;
    client.close();
    const flow = flowTo(LARGEST);
    paths.bare.router.run(['/usr/sbin/nft', '-f', '-'], bareRules(flow));
    const flows = { ours: [] as number[], bare: [] as number[] };
    for (let round = 0; round < FLOW_ROUNDS; round += 1) {
      const seconds = { ours: 0, bare: 0 };
      for (const turn of FLOW_TURNS) {
        // Who is first changes too.
        const way = round % 2 === 0 ? turn : turn === 'ours' ? 'bare' : 'ours';
        seconds[way] += 1 / (await measureFlow(paths[way], flow));
      }
      flows.ours.push(2 / seconds.ours);
      flows.bare.push(2 / seconds.bare);
      if (round % 10 === 9) {
        const [ours, bare] = [flows.ours, flows.bare].map((all) => percentile(all, 0.5).toFixed(1));
        tell(`flow ${round + 1} of ${FLOW_ROUNDS}: p50 ${ours} Gbit/s, bare ${bare}`);
      }
    }
    const [ours, bare] = [percentile(flows.ours, 0.5), percentile(flows.bare, 0.5)];
    // Of each round by itself: what the machine can do changes more from one minute to the next than the two differ.
    const ratio = percentile(
      flows.ours.map((value, round) => value / (flows.bare[round] ?? Number.NaN)),
      0.5,
    );
    return [
      ...rows,
      {
        ...against(
          'throughput of one flow at 10k, p50; ratio: p50 of the rounds',
          ours,
          'Gbit/s',
          bare,
          'three bare nft rules',
          {
            text: '>= 0.95x',
            met: ratio >= 0.95,
          },
        ),
        ratio,
      },
      {
        name: 'control: of 3 packets to a port without a rule, answered',
        value: answers,
        unit: 'answers',
        reach: '0',
        met: answers === 0,
      },
    ];
  } finally {
    await router?.end();
    for (const path of made) path.remove();
  }
};

export const bench: Bench = {
  name: 'packet',
  description: 'round trips of new and established connections and throughput, by number of rules',
  run,
};
