import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Client, Resource } from '../client.ts';

const PATH = '/v1/router-bundles';

/**
 * Uploads the router bundle of this project and makes it the default when it is new, so that routers say that they need a
 * patch to it. One that was uploaded before is left as it is: somebody may have gone back from it.
 */
export const ensureBundle = async (
  client: Client,
  path: string,
  tell: (message: string) => void,
): Promise<void> => {
  const file = readFileSync(path);
  const checksum = createHash('sha256').update(file).digest('hex');
  if ((await client.list(PATH, { checksum })).length > 0) return;
  const others = await client.list(PATH);
  const bundle = await client.post<Resource>(PATH, { content: file.toString('base64'), default: true });
  if (others.length === 0) return;
  tell(
    `The router bundle ${String(bundle['version'])} is new: "selvage router list" says which routers need a patch to it.`,
  );
};
