/** Reads nft text as {@link renderText} writes it, and no more of the language than that. Pure. */
import type {
  Chain,
  ChainType,
  Command,
  Counter,
  DataType,
  Deletable,
  Family,
  Flushable,
  Hook,
  KeyType,
  MapType,
  NftMap,
  NftObject,
  NftSet,
  Rule,
  SetFlag,
  Statement,
} from '../types.ts';
import { elements } from './expressions.ts';
import { statement } from './statements.ts';
import { TokenReader } from './tokens.ts';

/** A command, and the line its text begins in. */
export type PlacedCommand = { readonly command: Command; readonly line: number };

type Place = { readonly family: Family; readonly table: string; readonly name: string };

const families: ReadonlySet<string> = new Set(['ip', 'ip6', 'inet', 'arp', 'bridge', 'netdev']);

function family(reader: TokenReader): Family {
  if (!families.has(reader.peek().text)) reader.fail('expecting a family');
  return reader.word() as Family;
}

function place(reader: TokenReader): Place {
  return { family: family(reader), table: reader.name(), name: reader.name() };
}

/** The parts of `{ a; b; }`, each read by `part`. */
function block(reader: TokenReader, part: (word: string) => void): void {
  if (!reader.accept('{')) return;
  while (!reader.accept('}')) {
    part(reader.peek().text);
    reader.expect(';');
  }
}

function chain(reader: TokenReader): Chain {
  let result: Chain = place(reader);
  block(reader, (word) => {
    reader.take();
    if (word === 'comment') result = { ...result, comment: reader.string() };
    else if (word === 'policy') result = { ...result, policy: reader.word() as 'accept' };
    else if (word === 'type') {
      const type = reader.word() as ChainType;
      reader.expect('hook');
      const hook = reader.word() as Hook;
      let dev: { readonly dev?: string | readonly string[] } = {};
      if (reader.accept('device')) dev = { dev: reader.string() };
      else if (reader.accept('devices')) {
        reader.expect('=');
        dev = { dev: elements(reader) as readonly string[] };
      }
      reader.expect('priority');
      result = { ...result, type, hook, ...dev, prio: reader.number() };
    } else reader.fail('in a chain');
  });
  return result;
}

function types(reader: TokenReader): KeyType {
  const list = [reader.word() as DataType];
  while (reader.accept('.')) list.push(reader.word() as DataType);
  return list.length === 1 ? (list[0] as DataType) : list;
}

function set(reader: TokenReader, map: boolean): NftSet | NftMap {
  let result: NftSet & { readonly map?: MapType } = { ...place(reader), type: 'mark' };
  block(reader, (word) => {
    const before = result;
    if (word === 'counter' || word === 'limit' || word === 'quota' || word === 'ct') {
      result = { ...before, stmt: [...(before.stmt ?? []), statement(reader)] };
      return;
    }
    reader.take();
    if (word === 'type') {
      result = { ...before, type: types(reader) };
      if (map) {
        reader.expect(':');
        result = { ...result, map: types(reader) as MapType };
      }
    } else if (word === 'size') result = { ...before, size: reader.number() };
    else if (word === 'policy') result = { ...before, policy: reader.word() as 'memory' };
    else if (word === 'flags') {
      const flags = [reader.word() as SetFlag];
      while (reader.accept(',')) flags.push(reader.word() as SetFlag);
      result = { ...before, flags };
    } else if (word === 'timeout') result = { ...before, timeout: reader.seconds() };
    else if (word === 'gc-interval') result = { ...before, 'gc-interval': reader.seconds() };
    else if (word === 'auto-merge') result = { ...before, 'auto-merge': true };
    else if (word === 'comment') result = { ...before, comment: reader.string() };
    else if (word === 'elements') {
      reader.expect('=');
      result = { ...before, elem: elements(reader) };
    } else reader.fail('in a set');
  });
  return result;
}

function counter(reader: TokenReader): Counter {
  let result: Counter = place(reader);
  block(reader, (word) => {
    reader.take();
    if (word === 'comment') result = { ...result, comment: reader.string() };
    else if (word === 'packets') {
      const packets = reader.number();
      reader.expect('bytes');
      result = { ...result, packets, bytes: reader.number() };
    } else reader.fail('in a counter');
  });
  return result;
}

function rule(reader: TokenReader): Rule {
  let head: Omit<Rule, 'expr'> = { family: family(reader), table: reader.name(), chain: reader.name() };
  if (reader.accept('handle')) head = { ...head, handle: reader.number() };
  else if (reader.accept('index')) head = { ...head, index: reader.number() };
  const expr: Statement[] = [];
  let comment: { readonly comment?: string } = {};
  while (reader.peek().kind !== 'end') {
    if (reader.accept('comment')) comment = { comment: reader.string() };
    else expr.push(statement(reader));
  }
  return { ...head, expr, ...comment };
}

function object(reader: TokenReader): NftObject {
  const kind = reader.word();
  switch (kind) {
    case 'table': {
      let table: { readonly family: Family; readonly name: string; readonly comment?: string } = {
        family: family(reader),
        name: reader.name(),
      };
      block(reader, () => {
        reader.expect('comment');
        table = { ...table, comment: reader.string() };
      });
      return { table };
    }
    case 'chain':
      return { chain: chain(reader) };
    case 'set':
      return { set: set(reader, false) };
    case 'map':
      return { map: set(reader, true) as NftMap };
    case 'counter':
      return { counter: counter(reader) };
    case 'element':
      return { element: { ...place(reader), elem: elements(reader) } };
    case 'rule':
      return { rule: rule(reader) };
    default:
      return reader.fail(`expecting a kind of object before this, not ${kind}`);
  }
}

function reference(reader: TokenReader): Deletable | Flushable {
  const kind = reader.word();
  if (kind === 'ruleset') return { ruleset: null };
  if (kind === 'table') return { table: { family: family(reader), name: reader.name() } };
  if (kind === 'element') return { element: { ...place(reader), elem: elements(reader) } };
  if (kind === 'rule') {
    const where = { family: family(reader), table: reader.name(), chain: reader.name() };
    reader.expect('handle');
    return { rule: { ...where, handle: reader.number() } };
  }
  if (kind === 'chain' || kind === 'set' || kind === 'map' || kind === 'counter')
    return { [kind]: place(reader) } as unknown as Deletable;
  return reader.fail(`expecting a kind of object before this, not ${kind}`);
}

/** The commands of a text. Throws {@link TextSyntaxError}. */
export function parseText(text: string): PlacedCommand[] {
  const reader = new TokenReader(text);
  const result: PlacedCommand[] = [];
  while (!reader.done) {
    const { kind, line, text: verb } = reader.peek();
    if (kind === 'end') {
      reader.take();
      continue;
    }
    if (kind === 'word' && verb.startsWith('#')) {
      reader.take();
      result.push({ command: { comment: verb.replace(/^# ?/, '') }, line });
      continue;
    }
    reader.take();
    if (verb === 'add' || verb === 'create')
      result.push({ command: { [verb]: object(reader) } as unknown as Command, line });
    else if (verb === 'insert' || verb === 'replace') {
      reader.expect('rule');
      result.push({ command: { [verb]: { rule: rule(reader) } } as unknown as Command, line });
    } else if (verb === 'delete' || verb === 'flush') {
      result.push({ command: { [verb]: reference(reader) } as unknown as Command, line });
    } else reader.fail(`after ${verb}, which is no command`);
    if (reader.peek().kind !== 'end') reader.fail('expecting newline');
  }
  return result;
}
