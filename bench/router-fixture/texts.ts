/** What the tools that a router is held against are given: the very text it applies itself, and iptables rules for the same. */
import type { RouterDocument } from 'documents';
import { rulesetFeatures } from '../../router/features.ts';
import { Ledger } from '../../router/ruleset/ledger.ts';
import {
  chainChanges,
  changeText,
  renderRuleset,
  type Ruleset,
  wholeTable,
} from '../../router/ruleset/render.ts';
import type { Destination, Pair } from './documents.ts';

/** The router's own texts for one document after another. */
export class RouterTexts {
  readonly #ledger = new Ledger();
  #current: Ruleset | null = null;

  /** The text that leads from the last document (at first: from an empty namespace) to this one. */
  next(document: RouterDocument): string {
    const next = renderRuleset(rulesetFeatures, document);
    const stage = this.#ledger.stage(next.parts);
    const text =
      this.#current === null
        ? wholeTable(next, stage.changes, false)
        : changeText(next, chainChanges(this.#current.chains, next.chains), stage.changes);
    stage.commit();
    this.#current = next;
    return text;
  }
}

const translate = (to: Destination): string =>
  `PREROUTING -d ${to.publicAddress} -p ${to.protocol} --dport ${to.publicPort} -j DNAT --to-destination ${to.guestAddress}:${to.guestPort}`;

const allow = (to: Destination): string =>
  `FORWARD -d ${to.guestAddress} -p ${to.protocol} --dport ${to.guestPort} -m conntrack --ctstate NEW -j ACCEPT`;

/** Arguments of iptables(8) for the two rules of a port forward. */
export const iptablesRules = (what: '-A' | '-D', to: Destination): string[][] => [
  ['-t', 'nat', what, ...translate(to).split(' ')],
  [what, ...allow(to).split(' ')],
];

/** The input of iptables-restore(8) for all of them. */
export const iptablesRestore = (destinations: readonly Destination[]): string =>
  [
    '*nat',
    ':PREROUTING ACCEPT [0:0]',
    ...destinations.map((to) => `-A ${translate(to)}`),
    'COMMIT',
    '*filter',
    ':FORWARD DROP [0:0]',
    '-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT',
    ...destinations.map((to) => `-A ${allow(to)}`),
    'COMMIT',
    '',
  ].join('\n');

/** Destinations of the pairs of a document, in its order. */
export const destinationsOf = (document: RouterDocument): Destination[] =>
  document.portForwards.map((forward: Pair['portForward']) => ({
    protocol: forward.protocol,
    publicAddress: forward.publicAddress,
    publicPort: forward.publicPorts.first,
    guestAddress: forward.guestAddress,
    guestPort: forward.guestPorts.first,
  }));
