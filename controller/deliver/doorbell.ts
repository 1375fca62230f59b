import type { ControllerFrame } from 'documents';

export interface DoorbellOptions {
  readonly now: () => number;
  readonly send: (host: string, frame: ControllerFrame) => void;
}

/** What is to be fetched by an agent: its own document or that of one of its routers. */
export interface Bell {
  readonly host: string;
  /** Null for the host document. */
  readonly router: string | null;
  readonly generation: number;
}

/** Rings for generations that are not in force yet, at once and then at growing intervals. */
export interface Doorbell {
  ring(bell: Bell): void;
  /** A generation is in force: nothing more to ring for up to it. */
  answered(bell: Bell): void;
  /** The host is gone: it hears of everything when it is back. */
  forget(host: string): void;
  /** Rings again for what is due. */
  tick(): void;
  /** How many generations wait to be in force. */
  waiting(): number;
}

/** Between two rings for the same generation, ms: doubling up to the last. The agent polls every 30 s by itself. */
const FIRST_REPEAT = 1000;
const LAST_REPEAT = 60_000;

export const openDoorbell = ({ now, send }: DoorbellOptions): Doorbell => {
  const bells = new Map<string, { bell: Bell; again: number; wait: number }>();
  const key = (bell: Bell): string => `${bell.host} ${bell.router ?? ''}`;
  const sound = ({ host, router, generation }: Bell): void =>
    send(
      host,
      router === null
        ? { type: 'host-document', generation }
        : { type: 'router-document', router, generation },
    );
  return {
    ring: (bell) => {
      const before = bells.get(key(bell));
      if (before !== undefined && before.bell.generation > bell.generation) return;
      bells.set(key(bell), { bell, again: now() + FIRST_REPEAT, wait: FIRST_REPEAT });
      sound(bell);
    },
    answered: (bell) => {
      const waiting = bells.get(key(bell));
      if (waiting !== undefined && waiting.bell.generation <= bell.generation) bells.delete(key(bell));
    },
    forget: (host) => {
      for (const [name, { bell }] of bells) if (bell.host === host) bells.delete(name);
    },
    tick: () => {
      const time = now();
      for (const waiting of bells.values()) {
        if (waiting.again > time) continue;
        waiting.wait = Math.min(waiting.wait * 2, LAST_REPEAT);
        waiting.again = time + waiting.wait;
        sound(waiting.bell);
      }
    },
    waiting: () => bells.size,
  };
};
