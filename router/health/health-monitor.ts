import type { HealthCheck, RouterDocument } from 'documents';
import type { System } from '../system.ts';
import { type Finding, finding } from './finding.ts';
import { checkDnsmasq, checkHaproxy, checkMetadata } from './service-checks.ts';
import { checkDisk, checkGateways, checkMemory } from './surroundings-checks.ts';

/** ms between two rounds by itself. */
const INTERVAL = 30_000;

/**
 * Every so many rounds the configuration is compared too: listing a ruleset of 30,000 rules takes seconds in which nothing
 * can be applied. What others change is noticed by events long before (observe/drift.ts); this is to be sure.
 */
const THOROUGH_EVERY = 30;

/** Whose health it is. */
export interface HealthSubject {
  /** Document in force, null before there is one. */
  readonly document: () => RouterDocument | null;
  /** What differs between what is wanted and what is there, in the tools' words; empty when nothing does. */
  readonly drift: () => Promise<string>;
}

const checkConfiguration = async ({ drift }: HealthSubject): Promise<Finding[]> => {
  const text = (await drift()).trim();
  if (text === '') return [finding('configuration', 'pass', 'is what the document says')];
  const lines = text.split('\n');
  const shown = lines.slice(0, 5).join('; ');
  return [
    finding('configuration', 'warn', `differs from the document: ${shown}${lines.length > 5 ? ' ...' : ''}`),
  ];
};

/**
 * Looks after one router: every service, each leg's gateway, disk, memory, and whether the configuration is what it should
 * be. Every half minute, and when asked. Finding something changes nothing; mending is for `heal`.
 */
export class HealthMonitor {
  readonly #system: System;
  readonly #subject: HealthSubject;
  readonly #interval: number;
  #results: readonly HealthCheck[] = [];
  #running: Promise<readonly HealthCheck[]> | null = null;
  #rounds = 0;
  #configuration: readonly HealthCheck[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(system: System, subject: HealthSubject, interval = INTERVAL) {
    this.#system = system;
    this.#subject = subject;
    this.#interval = interval;
  }

  /** Findings of the last round; empty before the first. */
  get results(): readonly HealthCheck[] {
    return this.#results;
  }

  /**
   * A round now; whoever asks while one is on its way gets that one's outcome. `thorough` compares the configuration as
   * well, which a round by itself does only now and then. Never throws.
   */
  check({ thorough = false } = {}): Promise<readonly HealthCheck[]> {
    this.#running ??= this.#round(thorough).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Begins to check from time to time. */
  start(): void {
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => void this.check(), this.#interval);
    this.#timer.unref();
    void this.check();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  async #round(thorough: boolean): Promise<readonly HealthCheck[]> {
    const system = this.#system;
    const document = this.#subject.document();
    if (document === null) return [];
    const checks: readonly (readonly [name: string, check: () => Promise<Finding[]>])[] = [
      ['dnsmasq', () => checkDnsmasq(system, document)],
      ['haproxy', () => checkHaproxy(system, document)],
      ['metadata', () => checkMetadata(system)],
      ['gateway', () => checkGateways(system, document)],
      ['disk', () => checkDisk(system)],
      ['memory', checkMemory],
    ];
    const results = (await Promise.all(checks.map(([name, check]) => this.#made(name, check)))).flat();
    if (thorough || this.#rounds % THOROUGH_EVERY === 0) {
      this.#configuration = await this.#made('configuration', () => checkConfiguration(this.#subject));
    }
    this.#rounds += 1;
    this.#results = [...results, ...this.#configuration];
    return this.#results;
  }

  /** A check that cannot be made is a finding too, and keeps none of the others from being made. */
  async #made(name: string, check: () => Promise<Finding[]>): Promise<HealthCheck[]> {
    let findings: Finding[];
    try {
      findings = await check();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      findings = [finding(name, 'fail', `could not be checked: ${message}`)];
    }
    const checkedAt = this.#system.clock.now();
    return findings.map((each) => ({ ...each, checkedAt }));
  }
}
