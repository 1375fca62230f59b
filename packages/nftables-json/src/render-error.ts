/** Why something cannot be written as nft text. */
export type RenderErrorCode = 'name' | 'string' | 'number' | 'value' | 'unsupported';

/**
 * Input that has no safe nft text. Codes: `name` (not `[a-z_][a-z0-9_]*`, too long, or a reserved word), `string` (quotes,
 * control characters, too long), `number` (not an integer of the range), `value` (a wrong combination),
 * `unsupported` (a form of the schema this package does not write).
 */
export class RenderError extends Error {
  override readonly name = 'RenderError';
  readonly code: RenderErrorCode;
  constructor(code: RenderErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
