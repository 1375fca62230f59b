/** What a report says in the end: what went wrong, and what a reader should know besides. */
import type { Causes, TrafficReport } from './report.ts';

export interface Finding {
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
  const note = (list: Finding[], of: string, what: string, count: number, text: string): void => {
    if (count > 0) list.push({ of, what, count, text: `${of}: ${count} ${text}` });
  };
  const sent = (of: string, count: number, skipped: number): void => {
    if (count === 0) note(failures, of, 'nothing sent', 1, 'load that sent nothing');
    else if (skipped > (count + skipped) * (1 - STARVED))
      note(remarks, of, 'starved', skipped, `slots skipped, ${count} used: this machine is too busy`);
  };

  for (const probe of report.probes) {
    const of = `${probe.label} ${probe.protocol} ${probe.direction}`;
    const [longest] = probe.outages;
    sent(of, probe.sent, probe.skipped);
    note(
      failures,
      of,
      'lost',
      probe.lost,
      `of ${probe.sent} probes lost${longest === undefined ? '' : `, at most ${longest.lost} in a row, for ${longest.duration} ms, at ${longest.at} ms`}`,
    );
    note(failures, of, 'doubled', probe.doubled, 'answers came twice');
  }
  for (const flow of report.flows) {
    const of = `${flow.label} flows ${flow.way}`;
    sent(of, flow.echoes, flow.skipped);
    note(failures, of, 'broken', flow.broken, `of ${flow.flows} flows broken${because(flow.causes)}`);
    note(failures, of, 'down', flow.down, 'flows are down');
    note(
      remarks,
      of,
      'retransmits',
      flow.retransmits,
      `segments sent again, ${flow.needlessRetransmits} of them needlessly`,
    );
  }
  for (const kind of report.connections) {
    const of = `${kind.label} connections ${kind.way}`;
    sent(of, kind.started, kind.skipped);
    note(failures, of, 'failed', kind.failed, `of ${kind.started} connections failed${because(kind.causes)}`);
    note(
      failures,
      of,
      'unfinished',
      kind.started - kind.finished - kind.failed,
      'connections were still open',
    );
    note(failures, of, 'slow', kind.slow, 'connections took a second or more for the handshake');
    note(remarks, of, 'late', kind.late, 'connections waited a second or more for an answer');
    note(
      remarks,
      of,
      'retransmits',
      kind.retransmits,
      `segments sent again, ${kind.needlessRetransmits} of them needlessly`,
    );
  }
  for (const bulk of report.bulk) {
    const of = `${bulk.label} bulk`;
    sent(of, bulk.bytes, 0);
    note(failures, of, 'broken', bulk.broken, `times broken${because(bulk.causes)}`);
    note(failures, of, 'missing', bulk.missing ?? 0, 'bytes were not confirmed');
    note(
      remarks,
      of,
      'retransmits',
      bulk.retransmits,
      `segments sent again, ${bulk.needlessRetransmits} of them needlessly`,
    );
  }
  for (const query of [...report.dns, ...report.dhcp]) {
    const of = `${query.label} ${query.kind}`;
    sent(of, query.asked, 0);
    note(failures, of, 'unanswered', query.unanswered, `of ${query.asked} queries unanswered`);
    note(failures, of, 'wrong', query.wrong, `wrong answers${because(query.causes)}`);
  }
  for (const { namespace, role, stalls, udpOverflows, icmpOverflows, listenOverflows } of report.processes) {
    const of = `${role} in ${namespace}`;
    note(remarks, of, 'stalled', stalls.count, `times kept from running, ${stalls.longest} ms at most`);
    note(remarks, of, 'udp overflow', udpOverflows, 'datagrams found their socket full');
    note(remarks, of, 'icmp overflow', icmpOverflows, 'echo answers found their socket full');
    note(remarks, of, 'listen overflow', listenOverflows, 'connections found the listen queue full');
  }
  note(
    remarks,
    'this machine',
    'backlog drops',
    report.backlogDrops,
    'packets dropped by queues of its processors',
  );
  return { failures, remarks };
};
