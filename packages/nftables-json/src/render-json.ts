/** Commands as the JSON of `libnftables-json(5)`. For people and for other tools; 1.0.6 must not be fed with it. Pure. */
import { renderText } from './render-text.ts';
import type { Command } from './types.ts';

/**
 * The commands as a JSON document. The same checks as {@link renderText} apply (it throws what that throws). Comment lines
 * are left out. Do not apply it with nftables 1.0.6: a concatenated DNAT map crashes that library.
 */
export function renderJson(commands: readonly Command[]): string {
  renderText(commands);
  return JSON.stringify({ nftables: commands.filter((command) => !('comment' in command)) }, null, 1);
}
