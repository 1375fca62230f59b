/** What a controller has at its first start: an administrator with a key, and offerings to make networks from. */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { insertRow } from '../store/rows.ts';
import type { Store } from '../store/store.ts';
import { keyHash, newApiKey } from './key.ts';

export const ALL_SERVICES = [
  'dhcp',
  'dns',
  'metadata',
  'source-nat',
  'static-nat',
  'port-forward',
  'load-balancer',
  'firewall',
] as const;

const offerings = [
  { name: 'isolated', egress_default: 'deny', persistent: 0 },
  { name: 'isolated-egress-allow', egress_default: 'allow', persistent: 0 },
  { name: 'isolated-persistent', egress_default: 'deny', persistent: 1 },
] as const;

const writeKey = (file: string, key: string): void => {
  const descriptor = openSync(`${file}.new`, 'w', 0o600);
  try {
    writeSync(descriptor, `${key}\n`);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(`${file}.new`, file);
};

/**
 * Seeds an empty store. The key is written to `keyFile` (0600) before the database knows it: a crash between the two
 * leaves a key that opens nothing, and the next start makes another. Returns whether there is a new key.
 */
export const bootstrap = (store: Store, keyFile: string): Promise<boolean> =>
  store.transaction(async (trx) => {
    const count = await trx.selectFrom('network_offering').select('id').limit(1).executeTakeFirst();
    if (count === undefined)
      for (const offering of offerings)
        await insertRow(trx, 'network_offering', 'off', {
          ...offering,
          services: JSON.stringify(ALL_SERVICES),
          state: 'enabled',
        });
    const admin =
      (await trx.selectFrom('account').selectAll().where('role', '=', 'admin').limit(1).executeTakeFirst()) ??
      (await insertRow(trx, 'account', 'acc', { name: 'admin', role: 'admin' }));
    const known = await trx
      .selectFrom('api_key')
      .innerJoin('account', 'account.id', 'api_key.account_id')
      .select('api_key.id')
      .where('account.role', '=', 'admin')
      .limit(1)
      .executeTakeFirst();
    if (known !== undefined) return false;
    const key = newApiKey();
    writeKey(keyFile, key);
    await insertRow(trx, 'api_key', 'key', {
      account_id: admin.id,
      name: 'first',
      key_hash: keyHash(key),
    });
    return true;
  });
