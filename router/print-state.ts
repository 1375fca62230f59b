import { DocumentStore } from './document/store.ts';
import { exportState } from './handover/state.ts';
import { openSystem } from './open-system.ts';

/** Who asked has given up long before, ms: nobody may be there any more to end this program. */
const LONGEST = 60_000;

/**
 * Prints, as JSON, what another router needs to go on with what the router of a directory does: the answer to
 * `GET /v1/handover/state`, for when the daemon is dead or hung. It is all in the kernel of the namespace, in files and in
 * the services, which live on without it. Changes nothing.
 *
 * What the daemon alone remembers is missing: connections that it has told of before and that have ended since (`ended`).
 *
 * @throws when the directory has no document: nothing was ever in force here.
 */
export const printState = async (directory: string): Promise<void> => {
  setTimeout(() => process.exit(1), LONGEST).unref();
  const document = await new DocumentStore(directory).read();
  if (document === null) throw new Error(`There is no document in ${directory}`);
  const system = openSystem({ directory, report: () => undefined });
  try {
    const text = JSON.stringify(await exportState(system, document));
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
    });
  } finally {
    await system.nftables.close();
  }
};
