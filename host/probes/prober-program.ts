/** The prober as a program: one a host, told what to measure by the agent, and gone when the agent is. */
import { Measurements } from './measurements.ts';
import type { FromProber, ToProber } from './protocol.ts';

const measurements = new Measurements();

const say = (message: FromProber): void => {
  process.send?.(message, undefined, undefined, () => {});
};

const read = async ({ id, probe, from, to }: Extract<ToProber, { readonly type: 'read' }>): Promise<void> =>
  say({ type: 'reading', id, reading: (await measurements.reading(probe, from, to)) ?? null });

process.on('message', (message: ToProber) => {
  if (message.type === 'follow') measurements.follow(message.probes);
  else void read(message);
});
process.once('disconnect', () => process.exit(0));
// Signals to the agent's group are the agent's to act on.
process.on('SIGINT', () => {});
