/** What the agent tells of itself, as events. Pure. */
import type { Failover } from 'documents';
import type { MovedMacs } from './fabric/apply.ts';
import type { Unfenced } from './failover/failover.ts';
import type { MachineReport } from './machines/machine.ts';

/** Characters of a message. */
const LONGEST = 2000;

const event = (
  type: string,
  level: MachineReport['level'],
  subject: string,
  message: string,
): MachineReport => ({ type, level, subject, message: message.slice(0, LONGEST) });

/** What somebody else changed, and was put right. */
export const driftHealed = (host: string, reasons: readonly string[]): MachineReport =>
  event(
    'host.drift-healed',
    'warning',
    host,
    `Changed by somebody else and put right: ${reasons.join('; ')}`,
  );

/** Frames that go to other machines now: one event for each that took over. */
export const macsMoved = ({ moves, microseconds }: MovedMacs): MachineReport[] =>
  [...Map.groupBy(moves, ({ port }) => port.machine)].map(([machine, own]) => {
    const macs = own.map(({ port, mac, from }) => `${mac} from ${from} to ${port.device}`);
    return event('host.macs-moved', 'info', machine, `Moved within ${microseconds} µs: ${macs.join(', ')}`);
  });

/** A standby took over; `failures`: what of it could not be done. */
export const failedOver = (
  { router, promoted, reason, microseconds }: Failover,
  failures: readonly string[],
): MachineReport => {
  const trouble = failures.length === 0 ? '' : `; not done: ${failures.join('; ')}`;
  const message = `${promoted} took over from ${router} within ${microseconds} µs: ${reason}${trouble}`;
  return event('host.failed-over', 'warning', promoted, message);
};

/** A router died, and nobody takes over until what is left of it is off the net. */
export const notFenced = ({ failover: { router, promoted, reason }, message }: Unfenced): MachineReport =>
  event(
    'host.not-fenced',
    'error',
    router,
    `${router} died, ${reason}, and ${promoted} does not take over yet, as the ports of ${router} cannot be set down: ${message}`,
  );
