/**
 * Asks what a router serves to its guests again and again, never twice for one answer.
 * Arguments: RESOLVER NAME METADATA-URL COUNT INTERVAL-MS. Prints one JSON object: {names: {asked, failed}, metadata: {asked, failed}, reasons}.
 */
import { Resolver } from 'node:dns/promises';
import { get } from 'node:http';

const [server = '', name = '', url = '', count = '100', interval = '20'] = process.argv.slice(2);
const LIMIT = 3000;
const names = { asked: 0, failed: 0 };
const metadata = { asked: 0, failed: 0 };
const reasons = new Set<string>();

const ask = async (
  tally: { asked: number; failed: number },
  question: () => Promise<unknown>,
): Promise<void> => {
  tally.asked += 1;
  try {
    await question();
  } catch (error) {
    tally.failed += 1;
    reasons.add(String(error));
  }
};

/** A connection of its own for each, as programs in guests do. */
const fetchOnce = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: LIMIT }, (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`)),
      );
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
  });

const open: Promise<void>[] = [];
for (let turn = 0; turn < Number(count); turn += 1) {
  const resolver = new Resolver({ timeout: LIMIT, tries: 1 });
  resolver.setServers([server]);
  open.push(
    ask(names, () => resolver.resolve4(name)),
    ask(metadata, fetchOnce),
  );
  await new Promise((resolve) => setTimeout(resolve, Number(interval)));
}
await Promise.all(open);
console.log(JSON.stringify({ names, metadata, reasons: [...reasons].slice(0, 5) }));
