/** What was seen. Durations in ms unless said otherwise. */
import type { Distribution } from './histogram.ts';
import type { Direction } from './load.ts';
import type { Stalls } from './pacer.ts';

export type Way = 'source-nat' | 'port-forward' | 'static-nat' | 'load-balancer';
/** Occurrences by cause: `reset`, `refused`, `closed`, `stalled` ... */
export type Causes = Readonly<Record<string, number>>;

/** Something that went wrong once, and when: ms since the load began. */
export interface Moment {
  readonly at: number;
  readonly what: string;
}

export interface ProbeReport {
  readonly kind: 'probe';
  readonly label: string;
  readonly protocol: 'icmp' | 'udp';
  readonly direction: Direction;
  readonly sent: number;
  readonly received: number;
  /** Unanswered; in a snapshot, for a second at least. */
  readonly lost: number;
  /** Answers beyond the first. */
  readonly doubled: number;
  /** Longest time between two answers; this process's own stalls are in it. */
  readonly longestGap: number;
  /**
   * Probes in a row that were lost: from the sending of the first to the sending of the next that was answered, so our
   * own stalls do not lengthen it. `at` is ms since the load began. The longest first, at most 100.
   */
  readonly outages: readonly { readonly at: number; readonly lost: number; readonly duration: number }[];
  readonly rtt: Distribution;
  /** Slots nothing was sent in because this process was late. */
  readonly skipped: number;
}

export interface FlowReport {
  readonly kind: 'flows';
  readonly label: string;
  readonly way: Way;
  readonly flows: number;
  /** Times a flow that was up broke. Broken ones are opened again. */
  readonly broken: number;
  readonly causes: Causes;
  /** The first 100, as in the other reports. */
  readonly moments: readonly Moment[];
  /** Flows that are not up at this moment. */
  readonly down: number;
  readonly echoes: number;
  readonly latency: Distribution;
  /** Longest time an echo took, those that never came included. */
  readonly longestStall: number;
  readonly retransmits: number;
  readonly needlessRetransmits: number;
  readonly skipped: number;
}

export interface ConnectionReport {
  readonly kind: 'connections';
  readonly label: string;
  readonly way: Way;
  readonly started: number;
  readonly finished: number;
  readonly failed: number;
  /** By phase and cause: `connect refused`, `echo reset` ... */
  readonly causes: Causes;
  /** Finished, but the handshake took a second or more: a segment of it was lost and sent again. */
  readonly slow: number;
  /** Of those that failed or were slow. */
  readonly moments: readonly Moment[];
  /**
   * Finished, but an echo or the close took a second or more. A segment may have been lost, but as a rule a program on
   * the way did not get to run: kernels do handshakes, programs answer.
   */
  readonly late: number;
  /** Segments the client sent again, in all. */
  readonly retransmits: number;
  readonly needlessRetransmits: number;
  /** SYN to established. */
  readonly connect: Distribution;
  /** SYN to closed, without the wait between. */
  readonly total: Distribution;
  readonly skipped: number;
}

export interface BulkReport {
  readonly kind: 'bulk';
  readonly label: string;
  readonly bytes: number;
  /** Mbit/s over the whole run. */
  readonly rate: number;
  readonly broken: number;
  readonly causes: Causes;
  readonly moments: readonly Moment[];
  /** Bytes handed over that the other end did not confirm; in a snapshot null. */
  readonly missing: number | null;
  /** Longest time nothing could be written. */
  readonly longestStall: number;
  readonly retransmits: number;
  readonly needlessRetransmits: number;
}

export interface QueryReport {
  readonly kind: 'dns' | 'dhcp';
  readonly label: string;
  readonly asked: number;
  readonly answered: number;
  /** No answer within 5 s, after which resolvers ask again (resolv.conf(5)); here nothing is asked twice. */
  readonly unanswered: number;
  /** Answers that say something else than they should. */
  readonly wrong: number;
  readonly causes: Causes;
  /** When what was not answered was asked, and when wrong answers came. */
  readonly moments: readonly Moment[];
  readonly latency: Distribution;
}

export interface ServeReport {
  readonly kind: 'serve';
  readonly connections: number;
  readonly datagrams: number;
}

export type JobReport = ProbeReport | FlowReport | ConnectionReport | BulkReport | QueryReport | ServeReport;

/** One of the programs, and what its namespace's kernel threw away for its sake. */
export interface ProcessReport {
  readonly namespace: string;
  readonly role: 'client' | 'server';
  readonly pid: number;
  readonly stalls: Stalls;
  /** ms of processor time. */
  readonly cpu: number;
  /** UdpRcvbufErrors of the namespace. */
  readonly udpOverflows: number;
  /** Echo answers that found the ICMP socket full. */
  readonly icmpOverflows: number;
  /** ListenOverflows of the namespace. */
  readonly listenOverflows: number;
}

export interface TrafficReport {
  /** Time under load, ms. */
  readonly duration: number;
  readonly probes: readonly ProbeReport[];
  readonly flows: readonly FlowReport[];
  readonly connections: readonly ConnectionReport[];
  readonly bulk: readonly BulkReport[];
  readonly dns: readonly QueryReport[];
  readonly dhcp: readonly QueryReport[];
  readonly processes: readonly ProcessReport[];
  /** Packets the machine's own per-processor queues dropped (/proc/net/softnet_stat), everybody's. */
  readonly backlogDrops: number;
}
