import type { RouterDocument } from 'documents';
import { neighboursOf } from '../handover/state.ts';
import { membersUp } from '../loadbalancer/health-state.ts';
import { metadataServer } from '../metadata/apply.ts';
import { dnsmasqOf } from '../service/dnsmasq-of.ts';
import type { System } from '../system.ts';
import { lineText } from './lines.ts';

type Kind = 'neighbours' | 'leases' | 'passwords' | 'members';

/** haproxy is asked every other time only. */
const MEMBERS_EVERY = 2;

/** What a router knows besides its connections, as lines; it is small, and looked at from time to time. */
export class Surroundings {
  readonly #system: System;
  readonly #place: () => Pick<RouterDocument, 'legs' | 'handover'> | null;
  #lines: ReadonlyMap<Kind, string> = new Map();
  #looks = 0;

  constructor(system: System, place: () => Pick<RouterDocument, 'legs' | 'handover'> | null) {
    this.#system = system;
    this.#place = place;
  }

  /** Lines for everything, as it was at the last look. */
  lines(): readonly string[] {
    return [...this.#lines.values()];
  }

  /** Looks, and returns lines for what is not as it was. */
  async look(): Promise<readonly string[]> {
    const place = this.#place();
    if (place === null) return [];
    const byAddress = neighboursOf(this.#system, place).toSorted((a, b) =>
      `${a.device} ${a.address}` < `${b.device} ${b.address}` ? -1 : 1,
    );
    const members =
      this.#looks % MEMBERS_EVERY === 0
        ? lineText({ type: 'members', items: await membersUp(this.#system) })
        : (this.#lines.get('members') ?? lineText({ type: 'members', items: [] }));
    this.#looks += 1;
    const now = new Map<Kind, string>([
      ['neighbours', lineText({ type: 'neighbours', items: byAddress })],
      ['leases', lineText({ type: 'leases', text: await dnsmasqOf(this.#system).leaseText() })],
      [
        'passwords',
        lineText({ type: 'passwords', items: await metadataServer(this.#system).takenPasswords() }),
      ],
      ['members', members],
    ]);
    const changed = [...now].filter(([kind, line]) => this.#lines.get(kind) !== line);
    this.#lines = now;
    return changed.map(([, line]) => line);
  }
}
