/**
 * The daemon inside every virtual router, from its sources: `node router/main.ts --state DIR`, started in the router's network
 * namespace. Its bundle (scripts/bundle.ts) begins in the same way.
 */
import { enableCompileCache } from 'node:module';

if (process.argv[2] === '--nft-helper') {
  // The helper of the nftables library, which knows nothing of this argument.
  process.argv.splice(2, 1);
  await import('nftables-json/helper');
} else {
  // Before the rest is loaded: compiled code is taken from the cache of the last start.
  enableCompileCache();
  await import('./start.ts');
}
