import type { RouterStatus } from 'documents';
import { parseRuleset } from 'nftables-json';
import type { RulesetState } from '../ruleset/apply.ts';
import { visitElements } from '../ruleset/listing.ts';
import { TABLE } from '../ruleset/render.ts';
import type { System } from '../system.ts';

type Counter = RouterStatus['counters'][number];

const NFT = '/usr/sbin/nft';
/** Rules whose counters are told. */
const MOST_RULES = 1000;
/** Reading is not repeated within this time, ms. */
const FRESH = 10_000;
/** ... nor before this many times the time it took. */
const SHARE = 50;

const directions: Readonly<Record<string, Counter['direction']>> = {
  addresses_in: 'in',
  addresses_out: 'out',
};

/**
 * What addresses and rules have counted. It is read by a process of its own, which is gone afterwards: the helper that
 * applies changes is let go while nothing changes, and a counter is no reason to keep its memory.
 */
export class Counters {
  readonly #system: System;
  readonly #state: RulesetState;
  #counters: readonly Counter[] = [];
  #readAt = Number.NEGATIVE_INFINITY;
  #took = 0;
  #reading: Promise<void> | null = null;

  constructor(system: System, state: RulesetState) {
    this.#system = system;
    this.#state = state;
  }

  /** What was read last. */
  get latest(): readonly Counter[] {
    return this.#counters;
  }

  /** The counters, as old as 10 s or, where reading is dear, older. */
  async read(): Promise<readonly Counter[]> {
    const age = this.#system.clock.now() - this.#readAt;
    if (age > Math.max(FRESH, this.#took * SHARE)) {
      this.#reading ??= this.#refresh().finally(() => {
        this.#reading = null;
      });
      // The first answer waits; later ones are given what there is.
      if (this.#readAt === Number.NEGATIVE_INFINITY) await this.#reading;
    }
    return this.#counters;
  }

  async #refresh(): Promise<void> {
    const started = this.#system.clock.now();
    const totals = new Map<string, Counter>();
    for (const set of this.#state.countingSets()) {
      const wanted = this.#state.ledger.elements(set);
      if (wanted.size === 0) continue;
      const args = ['-j', 'list', 'set', TABLE.family, TABLE.table, set];
      const { exitCode, stdout } = await this.#system.exec.run(NFT, args, { timeout: 10_000 });
      if (exitCode !== 0) continue;
      const direction = directions[set] ?? 'new';
      visitElements(parseRuleset(stdout), (_name, key, _value, count) => {
        if (count === null) return;
        const subject = direction === 'new' ? wanted.get(key)?.owner : key;
        if (subject === undefined) return;
        const before = totals.get(`${direction} ${subject}`);
        totals.set(`${direction} ${subject}`, {
          subject,
          direction,
          packets: (before?.packets ?? 0) + count.packets,
          bytes: (before?.bytes ?? 0) + count.bytes,
        });
      });
    }
    const all = [...totals.values()];
    const busiest = all
      .filter(({ direction }) => direction === 'new')
      .sort((a, b) => b.packets - a.packets)
      .slice(0, MOST_RULES);
    this.#counters = [...all.filter(({ direction }) => direction !== 'new'), ...busiest];
    this.#readAt = this.#system.clock.now();
    this.#took = this.#readAt - started;
  }
}
