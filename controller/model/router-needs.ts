/** What has to be done to a router so that it is what it would be if it were made now. Pure. */

export type RouterNeeds = 'upToDate' | 'patch' | 'replace';

/** Facts of one router; null: not known, or of no matter. */
export interface RouterMake {
  /** Image its host would make it from now, and the one it was made from. */
  readonly image: { readonly wanted: string | null; readonly made: string | null };
  /** Most memory of its daemon, bytes: by its network's offering, and as it was made. */
  readonly memory: { readonly wanted: number | null; readonly made: number | null };
  /** The default bundle, and the one it runs. */
  readonly bundle: { readonly wanted: BundleFact | null; readonly running: BundleFact | null };
}

export interface BundleFact {
  readonly version: string;
  readonly checksum: string;
}

export interface Verdict {
  readonly needs: RouterNeeds;
  /** For people; empty when it needs nothing. */
  readonly because: string;
}

const amount = (bytes: number | null): string =>
  bytes === null ? 'as much memory as its host gives' : `${Math.round(bytes / 2 ** 20)} MiB of memory`;

/** What differs between two images, program by program. */
const differences = (wanted: string, made: string): string => {
  const had = new Set(made.split(' '));
  const has = new Set(wanted.split(' '));
  const gone = [...had].filter((part) => !has.has(part)).join(' ');
  const come = [...has].filter((part) => !had.has(part)).join(' ');
  return `was made from ${gone === '' ? made : gone}, its host has ${come === '' ? wanted : come}`;
};

/** What makes a machine is decided when it is made, so that it takes a fresh one; its program is exchanged as it runs. */
export const routerNeeds = ({ image, memory, bundle }: RouterMake): Verdict => {
  const replace: string[] = [];
  if (image.wanted !== null && image.made !== null && image.wanted !== image.made)
    replace.push(`It ${differences(image.wanted, image.made)}`);
  if (memory.wanted !== memory.made)
    replace.push(`It was made with ${amount(memory.made)} and is to have ${amount(memory.wanted)}`);
  if (replace.length > 0) return { needs: 'replace', because: `${replace.join('. ')}.` };
  const { wanted, running } = bundle;
  if (wanted !== null && running !== null && wanted.checksum !== running.checksum)
    return {
      needs: 'patch',
      because: `It runs the bundle ${running.version}, and routers are to run ${wanted.version}.`,
    };
  return { needs: 'upToDate', because: '' };
};
