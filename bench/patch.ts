/**
 * Live patches under full load: another daemon in the running router, twenty times between two bundles. Held against what
 * others do to a running router: its services are restarted.
 */
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { sealBundle } from 'signed-bundle';
import type { Resource } from '../cli/client.ts';
import { argumentsOf, processesIn } from '../host/machines/namespace/processes.ts';
import { bundleRouter } from '../scripts/bundle.ts';
import { startTestStack, type TestStack } from '../test/system/stack.ts';
import type { Bench, Row } from './bench.ts';
import { controlRow, type Outcome, outcomeRows, underLoad } from './handovers/outcome.ts';
import { FULL_LOAD } from './traffic/load.ts';
import { prepareTraffic } from './traffic/prepare-traffic.ts';

const FEW = 3;

/** The same program once more, by another name: to the routers another bundle. */
const secondBundle = async (): Promise<Buffer> => {
  const file = readFileSync(await bundleRouter());
  const key =
    process.env['SELVAGE_SIGNING_KEY'] ?? fileURLToPath(new URL('../build/signing.key', import.meta.url));
  return sealBundle(file.subarray(file.indexOf('\n') + 1), {
    version: `0.0.0+bench${process.pid}`,
    privateKey: createPrivateKey(readFileSync(key)),
  });
};

/** Everything that is lost, of all kinds. */
const lossesOf = (outcome: Outcome): number =>
  outcome.lost +
  outcome.flowsBroken +
  outcome.sessionsCut +
  outcome.connectionsFailed +
  outcome.namesUnanswered;

/** Has the router run this bundle, and sees that it does. */
const patch = async (stack: TestStack, router: string, bundle: Resource): Promise<void> => {
  const client = stack.client();
  const started = await client.post<Resource>(`/v1/routers/${router}/patch`, { bundle: bundle.id });
  if (typeof started.operation === 'string') await client.wait(started.operation, () => {});
  const { bundle: running } = (await client.get(`/v1/routers/${router}`)) as {
    readonly bundle?: { readonly checksum?: string } | null;
  };
  if (running?.checksum !== bundle['checksum'])
    throw new Error(`${router} runs ${running?.checksum}, not ${String(bundle['checksum'])}`);
};

const SERVICES = ['haproxy', 'dnsmasq'] as const;

const servicesIn = (namespace: string): ReadonlyMap<number, string> =>
  new Map(
    processesIn(namespace).flatMap((pid) => {
      const [program = ''] = argumentsOf(pid);
      const name = SERVICES.find((service) => program.endsWith(`/${service}`) || program === service);
      return name === undefined ? [] : [[pid, name] as const];
    }),
  );

/** Ends the services of a router and waits until each runs again. */
const restartServices = async (namespace: string): Promise<void> => {
  const before = servicesIn(namespace);
  for (const pid of before.keys()) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended with another.
    }
  }
  const deadline = performance.now() + 20_000;
  for (;;) {
    const now = [...servicesIn(namespace)].filter(([pid]) => !before.has(pid)).map(([, name]) => name);
    if (SERVICES.every((service) => now.includes(service))) return;
    if (performance.now() > deadline) throw new Error(`The services of ${namespace} do not run again`);
    await sleep(50);
  }
};

export const bench: Bench = {
  name: 'patch',
  description: 'live patches of a router under full load: what is lost, against a restart of its services',
  run: async ({ runs, tell }): Promise<Row[]> => {
    const count = runs ?? 20;
    const few = Math.min(count, FEW);
    const stack = await startTestStack(`svp${process.pid}`);
    try {
      const prepared = await prepareTraffic(stack);
      const { router } = prepared;
      const client = stack.client();
      const content = (await secondBundle()).toString('base64');
      const second = await client.post<Resource>('/v1/router-bundles', { content });
      const first = (await client.list('/v1/router-bundles')).find((bundle) => bundle['default'] === true);
      if (first === undefined) throw new Error('the stack has no default bundle');
      tell(`ours: ${count} patches`);
      const ours = await underLoad(
        prepared.map,
        FULL_LOAD,
        count,
        (round) => patch(stack, router, round % 2 === 0 ? second : first),
        tell,
      );
      tell(`against: ${few} restarts of the services`);
      const theirs = await underLoad(
        prepared.map,
        FULL_LOAD,
        few,
        () => restartServices(`${stack.prefix}-${router}`),
        tell,
      );
      return [
        ...outcomeRows(`${count} patches`, ours, true),
        ...outcomeRows(`${few} restarts of the services`, theirs, false),
        controlRow('a restart of the services loses something', lossesOf(theirs), 'losses'),
      ];
    } finally {
      await stack.destroy();
    }
  },
};
