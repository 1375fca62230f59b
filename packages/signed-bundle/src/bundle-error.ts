export type BundleErrorCode = 'NOT_A_BUNDLE' | 'UNKNOWN_KEY' | 'BAD_SIGNATURE';

/** A file that is not what it says it is; nothing of it may be run. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
  readonly code: BundleErrorCode;

  constructor(code: BundleErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}
