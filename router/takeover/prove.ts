import type { Problem, RouterDocument } from 'documents';
import { acceptDocument } from '../document/accept.ts';
import type { DocumentStore } from '../document/store.ts';
import type { ServiceOutlook } from '../feature.ts';
import type { AnyFeature } from '../features.ts';
import type { System } from '../system.ts';

/** The daemon that runs may be in the middle of a change, or mending one: looked at so many times... */
const LOOKS = 4;
/** ... with this much time in between, ms. */
const PAUSE = 250;

/** What a daemon would do if it took over now. */
export interface Finding {
  readonly outcome: 'proved' | 'refused';
  /** Of the document on disk; 0 when there is none. */
  readonly generation: number;
  /** What it would change in the kernel; a daemon that would change anything is refused. */
  readonly kernel: string;
  readonly services: readonly ServiceOutlook[];
  /** What it has against the document on disk, and its tools against what it would make of it. */
  readonly problems: readonly Problem[];
}

const problem = (code: string, message: string): Problem => ({
  pointer: '',
  code,
  message,
  hint: 'The router goes on with the daemon it has. Replace the router, or give it another bundle.',
});

/** What only waits for the host agent is no change: a device that is not there. */
const changesOf = (text: string): string =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => `${line}\n`)
    .join('');

const look = async (
  system: System,
  features: readonly AnyFeature[],
  document: RouterDocument,
): Promise<Omit<Finding, 'outcome' | 'generation'>> => {
  const accepted = acceptDocument(
    document,
    null,
    features.map(({ verify }) => verify),
  );
  if (accepted.outcome !== 'accepted') {
    return { kernel: '', services: [], problems: accepted.outcome === 'refused' ? accepted.problems : [] };
  }
  const problems: Problem[] = [];
  const services = new Map<string, ServiceOutlook>();
  let kernel = '';
  for (const feature of features) {
    const rendered = feature.render(accepted.document);
    problems.push(...((await feature.check?.(system, rendered)) ?? []));
    if (feature.outlook === undefined) kernel += changesOf(await feature.diff(system, rendered));
    else {
      const outlook = await feature.outlook(system, rendered);
      if (outlook !== null) services.set(outlook.name, outlook);
    }
  }
  return { kernel, services: [...services.values()], problems };
};

/**
 * Proves that this program can take over a router that runs: it verifies the document on disk by its own rules, asks its
 * tools about what it would make of it, and compares that with the kernel. Changes nothing.
 */
export const prove = async (
  system: System,
  features: readonly AnyFeature[],
  store: DocumentStore,
): Promise<{ readonly finding: Finding; readonly document: RouterDocument | null }> => {
  for (let turn = 1; ; turn += 1) {
    let document: RouterDocument | null = null;
    let found: Omit<Finding, 'outcome' | 'generation'>;
    try {
      document = await store.read();
      found =
        document === null
          ? { kernel: '', services: [], problems: [] }
          : await look(system, features, document);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      found = { kernel: '', services: [], problems: [problem('not-comparable', message)] };
    }
    const problems =
      found.kernel === ''
        ? found.problems
        : [
            ...found.problems,
            problem('kernel-differs', 'The kernel of the router is not as this program would have it'),
          ];
    const generation = document?.generation ?? 0;
    if (problems.length === 0)
      return { finding: { ...found, outcome: 'proved', generation, problems }, document };
    if (turn === LOOKS) return { finding: { ...found, outcome: 'refused', generation, problems }, document };
    await system.clock.sleep(PAUSE);
  }
};
