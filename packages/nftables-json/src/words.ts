/** Names, strings and numbers: the only places where values of callers become nft text. */
import { RenderError } from './render-error.ts';

/**
 * Words the scanner of nftables 1.0.6 refuses as a name of a table, chain, set or counter. Measured by trying every word of
 * the library as a name. (`fwd` is among those the JSON side would accept: such a chain could not be named in text.)
 */
const reservedWords: ReadonlySet<string> = new Set(
  `accept add ah all and arp bridge bytes cgroup chain comment comp constant continue counter cpu create ct day dccp define
  delete describe destroy device devices dnat drop dst dup dynamic ecn element elements eq esp ether exists expires export
  exthdr fib flags flow flowtable flush frag fwd ge get goto gt handle hbh hook hour ibriport ibrname icmp icmpv6 igmp iif
  iifgroup iifname iiftype import include index inet insert interval ip ip6 ipsec jhash jump le limit list ll log lshift lt
  map mark masquerade meta meter mh missing monitor name ne netdev nftrace nh not notrack numgen obriport obrname offload oif
  oifgroup oifname oiftype or osf packets pkttype policy position priority queue quota random redefine redirect reject rename
  replace reset return rshift rt rt0 rt2 rtclassid rule ruleset sctp secmark set size skgid skuid snat socket srh symhash
  synproxy table tcp th time timeout tproxy type typeof udp udplite undefine update vlan vmap xor xt`.split(
    /\s+/,
  ),
);

/** Words that are keywords of the scanner and yet may stand bare as a value (they name protocols). */
const protocolWords: ReadonlySet<string> = new Set([
  'tcp',
  'udp',
  'icmp',
  'icmpv6',
  'esp',
  'ah',
  'sctp',
  'udplite',
  'dccp',
  'igmp',
  'comp',
]);

const namePattern = /^[a-z_][a-z0-9_]*$/;
/** The kernel's NFT_NAME_MAXLEN is 256 with its NUL; 128 keeps lines readable. */
const nameMaximum = 128;

/** True when `name` may name a table, chain, set, map or counter. */
export function isName(name: string): boolean {
  return name.length <= nameMaximum && namePattern.test(name) && !reservedWords.has(name);
}

/** Returns `name`; throws {@link RenderError} `name` when it may not name an object. */
export function checkedName(name: string): string {
  if (!isName(name)) {
    const reason = reservedWords.has(name)
      ? 'is a reserved word of nft'
      : `must be [a-z_][a-z0-9_]*, at most ${nameMaximum} long`;
    throw new RenderError('name', `name ${JSON.stringify(name)} ${reason}`);
  }
  return name;
}

// nft has no escape inside quotes: a quote or a control character cannot be written at all.
// oxlint-disable-next-line no-control-regex
const unquotable = /["\u0000-\u001f\u007f]|[\ud800-\udfff]/u;

/** `text` in double quotes; throws {@link RenderError} `string` when nft cannot hold it. `maximum` in bytes of UTF-8. */
export function quoted(text: string, maximum = 127): string {
  if (unquotable.test(text)) {
    throw new RenderError(
      'string',
      `nft strings cannot hold quotes or control characters: ${JSON.stringify(text)}`,
    );
  }
  if (text.length > maximum || (text.length * 3 > maximum && Buffer.byteLength(text) > maximum)) {
    throw new RenderError('string', `longer than ${maximum} bytes: ${JSON.stringify(text)}`);
  }
  return `"${text}"`;
}

/**
 * `text` made fit for a comment: quotes become apostrophes, control characters blanks, and it is cut to 127 bytes
 * (the kernel's limit, NFTNL_UDATA_COMMENT_MAXLEN less its NUL). For text that comes from people.
 */
export function commentText(text: string): string {
  const clean = text
    .toWellFormed()
    .replace(/["]/g, "'")
    // oxlint-disable-next-line no-control-regex
    .replace(/[\u0000-\u001f\u007f]/g, ' ');
  let bytes = 0;
  let kept = '';
  for (const character of clean) {
    bytes += Buffer.byteLength(character);
    if (bytes > 127) break;
    kept += character;
  }
  return kept;
}

/** An interface name in quotes. IFNAMSIZ is 16 with its NUL; a closing `*` matches any rest. */
export function quotedInterface(name: string): string {
  if (!/^[^\s"/\\]{1,15}\*?$/.test(name)) {
    throw new RenderError('string', `not an interface name: ${JSON.stringify(name)}`);
  }
  return quoted(name, 16);
}

/** A decimal; throws {@link RenderError} `number` unless an integer of 0 to `maximum`. */
export function decimal(value: number, maximum = Number.MAX_SAFE_INTEGER): string {
  if (!Number.isInteger(value) || value < 0 || value > maximum) {
    throw new RenderError('number', `not an integer of 0 to ${maximum}: ${value}`);
  }
  return `${value}`;
}

const byte = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
/** IPv4 addresses exactly, and whatever has the letters of an IPv6 or a MAC address. */
const addressPattern = new RegExp(`^(?:${byte}(?:\\.${byte}){3}|[0-9a-fA-F]*:[0-9a-fA-F:]*(?:\\.[0-9.]+)?)$`);

/** nft asks the DNS for words it takes for host names, and blocks meanwhile: nothing like an address may get that far. */
function quotedSymbol(word: string): string {
  if (/^[0-9.]+$/.test(word)) throw new RenderError('value', `not an IPv4 address: ${JSON.stringify(word)}`);
  return quoted(word);
}

const symbolPattern = /^[a-zA-Z][a-zA-Z0-9-]*$/;

/** Protocols that are written bare in elements, as people write them. The others may be names of interfaces as well. */
const bareInElements: ReadonlySet<string> = new Set(['tcp', 'udp', 'icmp', 'icmpv6']);

/**
 * A string value of a set element: addresses and the common protocols bare, all else quoted (interface names may be
 * keywords). So an interface cannot be an element if it is called `tcp`, `udp`, `icmp` or `icmpv6`.
 */
export function elementWord(word: string): string {
  if (addressPattern.test(word) || bareInElements.has(word)) return word;
  return quotedSymbol(word);
}

/** A string value of a rule: a symbol (`established`), an address, or the name of a set (`@name`). */
export function valueWord(word: string): string {
  if (word.charCodeAt(0) === 64) return `@${checkedName(word.slice(1))}`;
  if (addressPattern.test(word) || protocolWords.has(word)) return word;
  return symbolPattern.test(word) && !reservedWords.has(word) ? word : quotedSymbol(word);
}

/** A word of the schema itself (a protocol, a field, a key): letters, digits, blanks and dashes only. */
export function schemaWord(word: string): string {
  if (!/^[a-z][a-z0-9 _-]*$/.test(word))
    throw new RenderError('value', `not a word of the schema: ${JSON.stringify(word)}`);
  return word;
}
