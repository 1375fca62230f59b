/** What can be wrong when a function is handed something that was never a parsed value. */
export type IpErrorCode = 'IP_NOT_CANONICAL' | 'IP_OUT_OF_RANGE' | 'IP_FAMILY_MISMATCH' | 'IP_PREFIX_LENGTH';

/** A caller's mistake, not bad input: bad input is refused by the parsers, which answer `null`. */
export class IpError extends Error {
  override readonly name = 'IpError';
  readonly code: IpErrorCode;

  constructor(code: IpErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
