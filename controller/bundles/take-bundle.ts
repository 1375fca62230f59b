/** A file becomes a bundle of the store once it is proved who made it. */
import type { KeyObject } from 'node:crypto';
import type { Problem } from 'documents';
import { BundleError, openBundle, type SignedBundle } from 'signed-bundle';

/** Most a bundle may have, bytes. */
export const LARGEST_BUNDLE = 32 << 20;

const hints: Readonly<Record<BundleError['code'], string>> = {
  NOT_A_BUNDLE: 'Give the file that "npm run bundle" makes, build/router.mjs, as base64.',
  UNKNOWN_KEY:
    'Sign it with a key that is trusted, or start the controller with --trusted-keys FILE that has this one, too.',
  BAD_SIGNATURE: 'It was changed after it was signed: fetch or make it again.',
};

/** What a file is, or why it is not taken. */
export const readUpload = (
  content: string,
  trusted: readonly KeyObject[],
): { readonly file: Buffer; readonly bundle: SignedBundle } | { readonly problem: Problem } => {
  const file = Buffer.from(content, 'base64');
  if (file.toString('base64') !== content)
    return {
      problem: {
        pointer: '/content',
        code: 'not-base64',
        message: 'The content is not base64 (RFC 4648, 4)',
        hint: 'Encode the whole file at once, with padding and without line breaks.',
      },
    };
  try {
    return { file, bundle: openBundle(file, trusted) };
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    const code = error.code.toLowerCase().replaceAll('_', '-');
    return { problem: { pointer: '/content', code, message: error.message, hint: hints[error.code] } };
  }
};
