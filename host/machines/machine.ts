/** How the agent drives machines, whatever they are made of: namespaces, or virtual machines. */
import type { Machine, MachineStatus, SegmentPort } from 'documents';
import type { RunOnceBounds } from './run-once.ts';

/** Where the machine's end of a port is plugged in. */
export interface PortPlace {
  /** Network namespace the other end of the veth goes to; see ip-netns(8). */
  readonly netns: string;
}

/** Something worth telling about a machine. */
export interface MachineReport {
  readonly type: string;
  readonly level: 'info' | 'warning' | 'error';
  readonly subject: string;
  readonly message: string;
}

/** How the scheduler has treated a daemon since it was started. Of two of these, one later than the other, the difference counts. */
export interface ProcessorUse {
  /** ms it has run. */
  readonly ran: number;
  /** ms it could have run and had to wait, without the waiting that has not ended. */
  readonly waited: number;
  /** It runs now, or waits to. */
  readonly runnable: boolean;
}

/**
 * A kind of machine. Every call is idempotent and says what is wanted, not what to do: a driver finds out what is there,
 * also what a predecessor left, and does the rest. Calls for one machine do not overlap.
 */
export interface MachineDriver {
  readonly name: Machine['driver'];
  /** Ids of all machines of this driver that are on the host, wanted or not. */
  readonly list: () => Promise<readonly string[]>;
  /** Makes the place where ports of the machine are plugged in, and starts what need not wait for ports. */
  readonly prepare: (machine: Machine) => Promise<PortPlace>;
  /** Where that is, null when there is none: also of a machine that is about to go. */
  readonly place: (id: string) => PortPlace | null;
  /** The ports are plugged in: boots, or adopts what runs. Returns when that is under way. */
  readonly run: (machine: Machine, ports: readonly SegmentPort[]) => Promise<void>;
  /**
   * Ends what runs in the machine: `stop` lets programs end by themselves for a moment, `remove` does not, as nothing of it
   * will be seen again. Its ports and its place stay until they are removed and `clear` is called.
   */
  readonly halt: (id: string, why: 'stop' | 'remove') => Promise<void>;
  /** Removes the place; the ports are gone by then. `trace` says what else goes: nothing more, or every trace of it. */
  readonly clear: (id: string, trace: 'keep' | 'remove') => Promise<void>;
  readonly status: (machine: Machine) => MachineStatus;
  /** Ends the daemon of a router, whatever state it is in, so that it is started anew. False when no such router runs here. */
  readonly restart: (id: string) => boolean;
  /**
   * Runs the program of a router's daemon once with these arguments, beside the daemon and whatever state that is in, where it
   * sees the same kernel and files. Resolves to what it prints; undefined when no such router runs here, or machines of this
   * kind cannot do it. Rejects with `RunOnceError`.
   */
  readonly runOnce: (
    id: string,
    args: readonly string[],
    bounds: RunOnceBounds,
  ) => Promise<Buffer> | undefined;
  /** Of the daemon of a router; null when there is none, or it cannot be known. */
  readonly processorUse: (id: string) => ProcessorUse | null;
  /** Lets go of everything; machines go on running. */
  readonly close: () => Promise<void>;
}

/** What a driver tells without being asked. */
export interface MachineListener {
  /** The status of this machine changed. */
  readonly changed: (id: string) => void;
  readonly report: (report: MachineReport) => void;
}
