/** Commands as nft text: the form libnftables is fed with, and the form people read. Pure. */
import { elementText } from './expression-text.ts';
import { RenderError } from './render-error.ts';
import { statementText } from './statement-text.ts';
import type {
  Chain,
  Command,
  Counter,
  Deletable,
  Element,
  Flushable,
  KeyType,
  MapType,
  NftMap,
  NftObject,
  NftSet,
  Rule,
  SetItem,
} from './types.ts';
import { checkedName, decimal, quoted, quotedInterface, schemaWord } from './words.ts';

type Placed = { readonly family: string; readonly table: string; readonly name: string };

function place(object: Placed): string {
  return `${schemaWord(object.family)} ${checkedName(object.table)} ${checkedName(object.name)}`;
}

function block(parts: readonly string[]): string {
  return parts.length === 0 ? '' : ` { ${parts.map((part) => `${part};`).join(' ')} }`;
}

function chainText(chain: Chain): string {
  const parts: string[] = [];
  if (chain.hook !== undefined) {
    if (chain.type === undefined || chain.prio === undefined)
      throw new RenderError('value', `base chain ${chain.name} needs type, hook and prio`);
    if (!Number.isInteger(chain.prio))
      throw new RenderError('number', `priority of chain ${chain.name}: ${chain.prio}`);
    const devices = chain.dev === undefined ? [] : typeof chain.dev === 'string' ? [chain.dev] : chain.dev;
    const device =
      devices.length === 0
        ? ''
        : devices.length === 1
          ? ` device ${quotedInterface(devices[0] as string)}`
          : ` devices = { ${devices.map(quotedInterface).join(', ')} }`;
    parts.push(
      `type ${schemaWord(chain.type)} hook ${schemaWord(chain.hook)}${device} priority ${chain.prio}`,
    );
    if (chain.policy !== undefined) parts.push(`policy ${schemaWord(chain.policy)}`);
  } else if (chain.type !== undefined || chain.policy !== undefined) {
    throw new RenderError('value', `chain ${chain.name} has a type or policy but no hook`);
  }
  if (chain.comment !== undefined) parts.push(`comment ${quoted(chain.comment)}`);
  return place(chain) + block(parts);
}

/** `ipv4_addr . inet_service`, from a type or a list of types. */
export function typeText(type: KeyType | MapType): string {
  return typeof type === 'string' ? schemaWord(type) : type.map(schemaWord).join(' . ');
}

function setText(set: NftSet | NftMap): string {
  const parts = [`type ${typeText(set.type)}${'map' in set ? ` : ${typeText(set.map)}` : ''}`];
  if (set.size !== undefined) parts.push(`size ${decimal(set.size)}`);
  if (set.policy !== undefined) parts.push(`policy ${schemaWord(set.policy)}`);
  if (set.flags !== undefined && set.flags.length > 0)
    parts.push(`flags ${set.flags.map(schemaWord).join(',')}`);
  if (set.timeout !== undefined) parts.push(`timeout ${decimal(set.timeout)}s`);
  if (set['gc-interval'] !== undefined) parts.push(`gc-interval ${decimal(set['gc-interval'])}s`);
  if (set.stmt !== undefined) for (const statement of set.stmt) parts.push(statementText(statement));
  if (set['auto-merge'] === true) parts.push('auto-merge');
  if (set.comment !== undefined) parts.push(`comment ${quoted(set.comment)}`);
  if (set.elem !== undefined && set.elem.length > 0)
    parts.push(`elements = ${elementsText(set.elem.map(elementText))}`);
  return place(set) + block(parts);
}

function elementsText(texts: readonly string[]): string {
  return texts.length === 1 ? `{ ${texts[0]} }` : `{\n  ${texts.join(',\n  ')}\n}`;
}

/** Where elements live. */
export type SetPlace = { readonly family: string; readonly table: string; readonly name: string };

/** `add element` for texts made by {@link elementText}; empty text for no elements. The cheap way in for hot paths. */
export function addElementsText(set: SetPlace, texts: readonly string[]): string {
  return texts.length === 0 ? '' : `add element ${place(set)} ${elementsText(texts)}\n`;
}

/** `delete element` for key texts made by {@link elementText}; a map's element is deleted by its key alone. */
export function deleteElementsText(set: SetPlace, keys: readonly string[]): string {
  return keys.length === 0 ? '' : `delete element ${place(set)} ${elementsText(keys)}\n`;
}

function elementCommand(verb: string, element: Element): string {
  if (element.elem.length === 0) return '';
  // A deletion is by key: a timeout, counter or comment beside it would be a mistake of the caller's.
  const item = verb === 'delete' ? (each: SetItem) => elementText(keyOf(each)) : elementText;
  return `${verb} element ${place(element)} ${elementsText(element.elem.map(item))}`;
}

/** The bare key of an element. */
export function keyOf(item: SetItem): SetItem {
  const key = Array.isArray(item) ? item[0] : item;
  return typeof key === 'object' && 'elem' in key ? key.elem.val : key;
}

function ruleText(verb: 'add' | 'create' | 'insert' | 'replace', rule: Rule): string {
  if (rule.expr.length === 0)
    throw new RenderError('value', `a rule of chain ${rule.chain} has no statements`);
  const where = `${schemaWord(rule.family)} ${checkedName(rule.table)} ${checkedName(rule.chain)}`;
  let position = '';
  if (verb === 'replace') {
    if (rule.handle === undefined) throw new RenderError('value', 'replace needs the handle of the rule');
    position = ` handle ${decimal(rule.handle)}`;
  } else if (rule.index !== undefined) {
    position = ` index ${decimal(rule.index)}`;
  }
  const comment = rule.comment === undefined ? '' : ` comment ${quoted(rule.comment)}`;
  return `${verb} rule ${where}${position} ${rule.expr.map(statementText).join(' ')}${comment}`;
}

function counterObjectText(counter: Counter): string {
  const parts: string[] = [];
  if (counter.comment !== undefined) parts.push(`comment ${quoted(counter.comment)}`);
  if (counter.packets || counter.bytes)
    parts.push(`packets ${decimal(counter.packets ?? 0)} bytes ${decimal(counter.bytes ?? 0)}`);
  return place(counter) + block(parts);
}

function objectText(verb: 'add' | 'create', object: NftObject): string {
  if ('element' in object) return elementCommand(verb, object.element);
  if ('rule' in object) return ruleText(verb, object.rule);
  if ('set' in object) return `${verb} set ${setText(object.set)}`;
  if ('map' in object) return `${verb} map ${setText(object.map)}`;
  if ('chain' in object) return `${verb} chain ${chainText(object.chain)}`;
  if ('counter' in object) return `${verb} counter ${counterObjectText(object.counter)}`;
  const { family, name, comment } = object.table;
  return `${verb} table ${schemaWord(family)} ${checkedName(name)}${comment === undefined ? '' : block([`comment ${quoted(comment)}`])}`;
}

function referenceText(verb: 'delete' | 'flush', object: Deletable | Flushable): string {
  if ('ruleset' in object) return `${verb} ruleset`;
  if ('table' in object)
    return `${verb} table ${schemaWord(object.table.family)} ${checkedName(object.table.name)}`;
  if ('element' in object) return elementCommand('delete', object.element);
  if ('rule' in object) {
    const { family, table, chain, handle } = object.rule;
    return `delete rule ${schemaWord(family)} ${checkedName(table)} ${checkedName(chain)} handle ${decimal(handle)}`;
  }
  if ('chain' in object) return `${verb} chain ${place(object.chain)}`;
  if ('set' in object) return `${verb} set ${place(object.set)}`;
  if ('map' in object) return `${verb} map ${place(object.map)}`;
  return `${verb} counter ${place(object.counter)}`;
}

function commandText(command: Command): string {
  if ('add' in command) return objectText('add', command.add);
  if ('create' in command) return objectText('create', command.create);
  if ('insert' in command) return ruleText('insert', command.insert.rule);
  if ('replace' in command) return ruleText('replace', command.replace.rule);
  if ('delete' in command) return referenceText('delete', command.delete);
  if ('flush' in command) return referenceText('flush', command.flush);
  // oxlint-disable-next-line no-control-regex
  return `# ${command.comment.replace(/[\u0000-\u001f\u007f]+/g, ' ')}`;
}

/**
 * The commands as nft text, one to a line and in the order given (elements one to a line, so that an error names the
 * element). Throws {@link RenderError} for input nft could not take.
 */
export function renderText(commands: readonly Command[]): string {
  let text = '';
  for (const command of commands) {
    const line = commandText(command);
    if (line !== '') text += `${line}\n`;
  }
  return text;
}

const loadOrder = ['table', 'counter', 'chain', 'set', 'map', 'rule', 'element'] as const;

/**
 * Commands that add `objects`, ordered so that they load: a verdict map's elements need their chains, rules need their sets.
 * (nft's own listing has maps before chains and so does not always load back as it stands.)
 */
export function addCommands(objects: readonly NftObject[]): Command[] {
  return loadOrder.flatMap((kind) => objects.filter((object) => kind in object).map((add) => ({ add })));
}
