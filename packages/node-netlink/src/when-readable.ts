/** Waits in the event loop for a descriptor to become readable: no thread, no timer, no memory to speak of. */
import koffi from 'koffi';

/** A wait that goes on until closed. */
export interface ReadableWait {
  /** Ends it; the descriptor may be closed right after. */
  close(): void;
  /** Leaves what can be read where it is until it is resumed. */
  pause(): void;
  resume(): void;
  /** Lets the process end although the wait goes on. */
  unref(): void;
}

/**
 * Calls `readable` while there is something to read or an error to collect. The descriptor must not block.
 *
 * koffi hands uv_poll_t through as it is: its callback runs outside of Node's callback scope, where neither promises
 * nor exceptions are looked after, so the work is done in an immediate of the same turn. And libuv stops polling after
 * an error event (an overrun of a netlink socket is one), so polling is begun again.
 */
export const whenReadable = (fd: number, readable: () => void): ReadableWait => {
  let closed = false;
  let scheduled: NodeJS.Immediate | undefined;
  let stopped = false;
  let paused = false;

  const work = (): void => {
    scheduled = undefined;
    if (closed || paused) return;
    try {
      readable();
    } finally {
      if (stopped && !closed && !paused) {
        stopped = false;
        handle.start({ readable: true }, polled);
      }
    }
  };
  // The first argument is libuv's status; koffi's own type declaration leaves it out.
  const polled = (status: unknown): void => {
    if (typeof status === 'number' && status < 0) stopped = true;
    if (!closed) scheduled ??= setImmediate(work);
  };
  const handle = koffi.node.poll(fd, { readable: true }, polled);

  return {
    close: () => {
      if (closed) return;
      closed = true;
      if (scheduled !== undefined) clearImmediate(scheduled);
      handle.stop();
      handle.close();
    },
    pause: () => {
      if (closed || paused) return;
      paused = true;
      handle.stop();
    },
    resume: () => {
      if (closed || !paused) return;
      paused = false;
      stopped = false;
      handle.start({ readable: true }, polled);
    },
    unref: () => {
      if (!closed) handle.unref();
    },
  };
};
