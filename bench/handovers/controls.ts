/**
 * Replacements that leave out one of the means, and the way others do it. The controller refuses to do these, so they are
 * done by hand: real daemons in a network of namespaces, whose MACs are moved as the host agent moves them.
 */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RouterDocument } from 'documents';
import { chainDocument, ChainLab, type ChainRouter } from '../../router/test/handover/chain-lab.ts';
import type { Row } from '../bench.ts';
import { FULL_LOAD } from '../traffic/load.ts';
import { controlRow, type Outcome, outcomeRows, underLoad } from './outcome.ts';

/** A successor's answer to its first health checks comes within this, ms. */
const SETTLED = 500;

/** Between the copy and the flip, ms: an agent that asks for the one and then for the other takes so long. */
const IN_BETWEEN = 20;

type Replace = (lab: ChainLab, old: ChainRouter) => Promise<ChainRouter>;

/** Runs the load while each router is followed by the next. */
const measure = async (
  count: number,
  replace: Replace,
  tell: (message: string) => void,
): Promise<Outcome> => {
  const lab = new ChainLab();
  try {
    lab.serveNames();
    let active = await lab.router();
    await active.put({});
    lab.flip(active);
    return await underLoad(
      lab.map,
      FULL_LOAD,
      count,
      async () => {
        const old = active;
        active = await replace(lab, old);
        await lab.retire(old);
      },
      tell,
    );
  } finally {
    await lab.close();
  }
};

/** The successor knows nothing, and the old one is asked nothing. */
const flipOnly: Replace = async (lab) => {
  const next = await lab.router();
  await next.put({});
  await sleep(SETTLED);
  lab.flip(next);
  return next;
};

/** The successor has all connections there were a moment ago; those made since, and sessions of the old one, nobody carries. */
const copyOnly: Replace = async (lab, old) => {
  const next = await lab.router();
  await next.put({});
  await lab.copy(old, next);
  await sleep(IN_BETWEEN);
  lab.flip(next);
  return next;
};

/** The same router with MACs of its own. */
const withOtherMacs = (ordinal: number): Partial<RouterDocument> => ({
  legs: chainDocument(ordinal).legs.map((leg, index) => ({
    ...leg,
    // A leg's id is written into by the lab.
    id: `leg-${leg.device}`,
    mac: `02:00:77:0${ordinal}:00:0${index}`,
  })),
});

/** Built beside the old one, off the wire, with the same addresses and other MACs; then one out, the other in and announced. */
const announced: Replace = async (lab, old) => {
  const next = await lab.router();
  const port = ({ ordinal }: ChainRouter, device: string): string => `p${ordinal}-${device}`;
  const set = (router: ChainRouter, ...change: readonly string[]): void => {
    for (const device of ['guest0', 'public0'])
      execFileSync('ip', ['-n', lab.fabric, 'link', 'set', port(router, device), ...change]);
  };
  set(next, 'down');
  await next.put(withOtherMacs(next.ordinal));
  await sleep(SETTLED);
  for (const device of ['guest0', 'public0']) {
    const options = ['learning', 'flood', 'bcast_flood', 'mcast_flood'].flatMap((name) => [name, 'on']);
    execFileSync('bridge', ['-n', lab.fabric, 'link', 'set', 'dev', port(next, device), ...options]);
  }
  set(old, 'down');
  set(next, 'up');
  for (const { device, addresses } of chainDocument(next.ordinal).legs)
    for (const address of addresses)
      next.run('arping', '-U', '-c', '1', '-w', '1', '-I', device, address.split('/')[0] ?? '');
  return next;
};

/** Rows of everything that has to fail, and of the comparison. */
export const controls = async (count: number, tell: (message: string) => void): Promise<Row[]> => {
  tell('control: flip without state');
  const stateless = await measure(count, flipOnly, tell);
  tell('control: copy without steering');
  const undrained = await measure(count, copyOnly, tell);
  tell('against: a parallel router with another MAC and gratuitous ARP');
  const parallel = await measure(count, announced, tell);
  return [
    ...outcomeRows(`${count} flips without state`, stateless, false),
    ...outcomeRows(`${count} copies without steering`, undrained, false),
    ...outcomeRows(`${count} parallel routers announced by ARP`, parallel, false),
    controlRow('a flip without state breaks haproxy sessions', stateless.sessionsCut, 'sessions'),
    controlRow('a flip without state breaks long flows', stateless.flowsBroken, 'flows'),
    controlRow(
      'a copy without steering fails connections that only pass through',
      undrained.translatedFailed,
      'connections',
    ),
    controlRow('a copy without steering cuts haproxy sessions', undrained.sessionsCut, 'sessions'),
    controlRow('another MAC and gratuitous ARP loses probes', parallel.lost, 'probes'),
    controlRow('another MAC and gratuitous ARP breaks long flows', parallel.flowsBroken, 'flows'),
  ];
};
