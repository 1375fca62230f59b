/** What a report says in the end: what went wrong, and what a reader should know besides. */
import type { Causes, TrafficReport } from './report.ts';

export interface Finding {
  readonly kind: 'probes' | 'flows' | 'connections' | 'bulk' | 'dns' | 'dhcp' | 'machine';
  /** `icmp out`, `flows load-balancer` ... with the network in front. */
  readonly of: string;
  /** `lost`, `doubled`, `broken`, `down`, `failed`, `slow`, `unanswered`, `wrong`, `missing`, `nothing sent`; in remarks also `stalled` ... */
  readonly what: string;
  readonly count: number;
  readonly text: string;
}

export interface Verdict {
  /** Everything that is not zero and should be. */
  readonly failures: readonly Finding[];
  /** What explains failures, or would be seen before any: stalls and overflows of our own, retransmits. */
  readonly remarks: readonly Finding[];
}

const because = (causes: Causes): string => {
  const listed = Object.entries(causes).map(([cause, count]) => `${count} ${cause}`);
  return listed.length === 0 ? '' : ` (${listed.join(', ')})`;
};

/** A load that sent so much less than it should proves little. */
const STARVED = 0.5;

/** Judges a final report; a snapshot may have failures that are none yet. Pure. */
export const verdict = (report: TrafficReport): Verdict => {
  const failures: Finding[] = [];
  const remarks: Finding[] = [];
  const about = (kind: Finding['kind'], of: string) => {
    const into =
      (list: Finding[]) =>
      (what: string, count: number, text: string): void => {
        if (count > 0) list.push({ kind, of, what, count, text: `${of}: ${count} ${text}` });
      };
    const [failed, remarked] = [into(failures), into(remarks)];
    const sent = (count: number, skipped: number): void => {
      if (count === 0) failed('nothing sent', 1, 'load that sent nothing');
      else if (skipped > (count + skipped) * (1 - STARVED))
        remarked('starved', skipped, `slots skipped, ${count} used: this machine is too busy`);
    };
    const retransmitted = (retransmits: number, needless: number): void =>
      remarked('retransmits', retransmits, `segments sent again, ${needless} of them needlessly`);
    return { failed, remarked, sent, retransmitted };
  };

  for (const probe of report.probes) {
    const { failed, sent } = about('probes', `${probe.label} ${probe.protocol} ${probe.direction}`);
    const [longest] = probe.outages;
    sent(probe.sent, probe.skipped);
    failed(
      'lost',
      probe.lost,
      `of ${probe.sent} probes lost${longest === undefined ? '' : `, at most ${longest.lost} in a row, for ${longest.duration} ms, at ${longest.at} ms`}`,
    );
    failed('doubled', probe.doubled, 'answers came twice');
  }
  for (const flow of report.flows) {
    const { failed, sent, retransmitted } = about('flows', `${flow.label} flows ${flow.way}`);
    sent(flow.echoes, flow.skipped);
    failed('broken', flow.broken, `of ${flow.flows} flows broken${because(flow.causes)}`);
    failed('down', flow.down, 'flows are down');
    retransmitted(flow.retransmits, flow.needlessRetransmits);
  }
  for (const one of report.connections) {
    const { failed, remarked, sent, retransmitted } = about(
      'connections',
      `${one.label} connections ${one.way}`,
    );
    sent(one.started, one.skipped);
    failed('failed', one.failed, `of ${one.started} connections failed${because(one.causes)}`);
    failed('unfinished', one.started - one.finished - one.failed, 'connections were still open');
    failed('slow', one.slow, 'connections took a second or more for the handshake');
    remarked('late', one.late, 'connections waited a second or more for an answer');
    retransmitted(one.retransmits, one.needlessRetransmits);
  }
  for (const bulk of report.bulk) {
    const { failed, sent, retransmitted } = about('bulk', `${bulk.label} bulk`);
    sent(bulk.bytes, 0);
    failed('broken', bulk.broken, `times broken${because(bulk.causes)}`);
    failed('missing', bulk.missing ?? 0, 'bytes were not confirmed');
    retransmitted(bulk.retransmits, bulk.needlessRetransmits);
  }
  for (const query of [...report.dns, ...report.dhcp]) {
    const { failed, sent } = about(query.kind, `${query.label} ${query.kind}`);
    sent(query.asked, 0);
    failed('unanswered', query.unanswered, `of ${query.asked} queries unanswered`);
    failed('wrong', query.wrong, `wrong answers${because(query.causes)}`);
  }
  for (const { namespace, role, stalls, udpOverflows, icmpOverflows, listenOverflows } of report.processes) {
    const { remarked } = about('machine', `${role} in ${namespace}`);
    remarked('stalled', stalls.count, `times kept from running, ${stalls.longest} ms at most`);
    remarked('udp overflow', udpOverflows, 'datagrams found their socket full');
    remarked('icmp overflow', icmpOverflows, 'echo answers found their socket full');
    remarked('listen overflow', listenOverflows, 'connections found the listen queue full');
  }
  about('machine', 'this machine').remarked(
    'backlog drops',
    report.backlogDrops,
    'packets dropped by queues of its processors',
  );
  return { failures, remarks };
};
