/** The libnftables JSON schema as TypeScript types, rendered to text, applied, listed and parsed back. */
export {
  addCommands,
  addElementsText,
  deleteElementsText,
  keyOf,
  renderText,
  type SetPlace,
} from './render-text.ts';
export { elementText } from './expression-text.ts';
export { statementText } from './statement-text.ts';
export { renderJson } from './render-json.ts';
export { RenderError, type RenderErrorCode } from './render-error.ts';
export { checkedName, commentText, isName } from './words.ts';
export { ParseError, parseRuleset, type ParseOptions } from './parse-ruleset.ts';
export { normalise, type NormaliseOptions } from './normalise.ts';
export * from './expressions.ts';
export type { ListOptions, ListScope, Nftables } from './nftables.ts';
export { NftablesError, type NftablesErrorCode } from './nftables-error.ts';
export { type KernelNftables, openNftables, type OpenNftablesOptions } from './open-nftables.ts';
export type * from './types.ts';
