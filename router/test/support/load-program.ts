/**
 * Traffic of a machine, run inside its namespace: `load-program.ts JSON`, an array of jobs, each so many times a second until
 * standard input ends. Then waits for what is under way and prints, for each job, what was asked and what came of it.
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Job, Tally } from './load.ts';

/** How long an answer may take, ms. */
const PATIENCE = 8_000;
/** The metadata service closes further ones of a guest. */
const MOST_CONNECTIONS = 8;

type Outcome = (what: string) => void;
type Ask = (done: Outcome) => void;

/** A connection of its own for each request; its outcome is the first line of the answer, or how it failed. */
const http =
  ({ address, port = 80, patience = PATIENCE, path = '/latest/meta-data/instance-id' }: Job): Ask =>
  (done) => {
    const socket = connect({ host: address, port });
    let text = '';
    socket.setTimeout(patience, () => {
      done('timeout');
      socket.destroy();
    });
    socket.on('connect', () => socket.write(`GET ${path} HTTP/1.0\r\n\r\n`));
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.on('close', () =>
      done(text.slice(0, 12) === 'HTTP/1.1 200' ? 'ok' : text.split('\r\n')[0] || 'closed'),
    );
  };

/** One socket, requests told apart by the number in front. */
const datagrams = (
  { address, port = 0, from = 0, patience = PATIENCE }: Job,
  request: (number: number) => Buffer,
  answer: (message: Buffer) => { readonly number: number; readonly outcome: string },
): Ask => {
  const waiting = new Map<number, Outcome>();
  const socket = createSocket('udp4');
  socket.bind(from);
  socket.on('message', (message) => {
    const { number: of, outcome } = answer(message);
    waiting.get(of)?.(outcome);
    waiting.delete(of);
  });
  socket.on('error', () => undefined);
  let number = 0;
  return (done) => {
    number = (number + 1) % 0x10000;
    waiting.set(number, done);
    const own = number;
    setTimeout(() => waiting.get(own) === done && done('timeout'), patience);
    socket.send(request(number), port, address);
  };
};

/** A query for the IPv4 address of a name (RFC 1035, 4.1). */
const query = (number: number, { name = '' }: Job): Buffer => {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([number >> 8, number & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
};

/** `ok` for an answer with something in it. */
const read = (message: Buffer): string => {
  const code = (message[3] as number) % 16;
  return code === 0 && message.readUInt16BE(6) > 0 ? 'ok' : `code ${code}`;
};

const dns = (job: Job): Ask =>
  datagrams(
    { port: 53, ...job },
    (number) => query(number, job),
    (message) => ({ number: message.readUInt16BE(0), outcome: read(message) }),
  );

/** The same over TCP: a connection for each (RFC 1035, 4.2.2). */
const dnsTcp =
  (job: Job): Ask =>
  (done) => {
    const socket = connect({ host: job.address, port: job.port ?? 53 });
    const ask = query(1, job);
    socket.setTimeout(job.patience ?? PATIENCE, () => {
      done('timeout');
      socket.destroy();
    });
    socket.on('connect', () => socket.write(Buffer.concat([Buffer.from([0, ask.length]), ask])));
    socket.on('data', (chunk) => {
      done(read(chunk.subarray(2)));
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.on('close', () => done('closed'));
  };

/** Renewals of a lease (RFC 2131, 4.3.2): a request from the address that is held, to the server. */
const renew = (job: Job): Ask => {
  const mac = (job.mac ?? '').split(':').map((part) => Number.parseInt(part, 16));
  const own = (job.own ?? '').split('.').map(Number);
  return datagrams(
    { port: 67, from: 68, ...job },
    (number) => {
      const message = Buffer.alloc(300);
      message.set([1, 1, 6, 0]);
      message.writeUInt32BE(number, 4);
      message.set(own, 12);
      message.set(mac, 28);
      message.set([0x63, 0x82, 0x53, 0x63, 53, 1, 3, 255], 236);
      return message;
    },
    (message) => ({
      number: message.readUInt32BE(4) & 0xffff,
      outcome: message.includes(Buffer.from([53, 1, 5])) ? 'ok' : 'no acknowledgement',
    }),
  );
};

const kinds: Readonly<Record<Job['kind'], (job: Job) => Ask>> = {
  http,
  dns,
  'dns-tcp': dnsTcp,
  renew,
};

const jobs = JSON.parse(process.argv[2] ?? '[]') as readonly Job[];
const tallies = jobs.map(({ kind }): Tally => ({ kind, asked: 0, ok: 0, others: {}, slowest: 0 }));
let running = true;
const began = performance.now();
const runs = jobs.map((job, index) => {
  const ask = kinds[job.kind](job);
  const tally = tallies[index] as Tally;
  let underWay = 0;
  let left = 0;
  const turn = (): void => {
    if (!running) return;
    // As many as are due: a timer that is late does not make the load smaller.
    const due = ((performance.now() - began) / 1000) * job.rate;
    while (tally.asked + left < due) {
      // A guest may hold so many connections and no more: on a busy machine some turns are left out.
      if (job.kind === 'http' && underWay >= MOST_CONNECTIONS) {
        left += 1;
        continue;
      }
      tally.asked += 1;
      underWay += 1;
      const sent = performance.now();
      let known = false;
      ask((outcome) => {
        if (known) return;
        known = true;
        underWay -= 1;
        tally.slowest = Math.max(tally.slowest, Math.round(performance.now() - sent));
        if (outcome === 'ok') tally.ok += 1;
        else tally.others[outcome] = (tally.others[outcome] ?? 0) + 1;
      });
    }
  };
  return setInterval(turn, 1);
});
process.stdin.resume();
process.stdin.on('end', () => {
  running = false;
  for (const run of runs) clearInterval(run);
  const end = performance.now() + PATIENCE + 200;
  const settled = ({ asked, ok, others }: Tally): boolean =>
    asked === Object.values(others).reduce((sum, count) => sum + count, ok);
  setInterval(() => {
    if (performance.now() < end && !tallies.every(settled)) return;
    process.stdout.write(JSON.stringify(tallies), () => process.exit(0));
  }, 20);
});
