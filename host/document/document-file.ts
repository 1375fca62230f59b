/** The last host document that was taken, so that a start without a controller knows what is wanted. */
import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type HostDocument, type Problem, verifyHostDocument } from 'documents';

export type Checked =
  | { readonly document: HostDocument }
  | { readonly problems: readonly Problem[]; readonly generation: number };

/** Parses and verifies a host document meant for `host`. */
export const checkHostDocument = (text: string, host: string): Checked => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const message = `The document is not JSON: ${(error as Error).message}`;
    const hint = 'Ask the controller whose document this is; it must send JSON.';
    return { problems: [{ pointer: '', code: 'not-json', message, hint }], generation: 0 };
  }
  const problems = verifyHostDocument(value);
  const { generation = 0 } = (value ?? {}) as Partial<HostDocument>;
  if (problems.length > 0) return { problems, generation: Number.isSafeInteger(generation) ? generation : 0 };
  const document = value as HostDocument;
  if (document.id === host) return { document };
  return {
    problems: [
      {
        pointer: '/id',
        code: 'other-host',
        message: `The document is for ${document.id}, this is ${host}`,
        hint: 'Check the token in host.json: each host has its own.',
      },
    ],
    generation,
  };
};

/** The persisted document; null when there is none or it is of no use. */
export const readHostDocument = (path: string, host: string): HostDocument | null => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  const checked = checkHostDocument(text, host);
  return 'document' in checked ? checked.document : null;
};

/** Replaces the persisted document by rename: a reader sees the old or the new. */
export const writeHostDocument = async (path: string, document: HostDocument): Promise<void> => {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.new`, `${JSON.stringify(document)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
};
