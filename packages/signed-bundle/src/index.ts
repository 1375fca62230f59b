export { BundleError, type BundleErrorCode } from './bundle-error.ts';
export { keyId } from './key-id.ts';
export { openBundle, type SignedBundle } from './open-bundle.ts';
export { readBundle } from './read-bundle.ts';
export { readKeys } from './read-keys.ts';
export { sealBundle } from './seal-bundle.ts';
