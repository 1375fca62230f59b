export { BundleError, type BundleErrorCode } from './bundle-error.ts';
export { keyId } from './key-id.ts';
export { openBundle, type SignedBundle } from './open-bundle.ts';
export { sealBundle } from './seal-bundle.ts';
