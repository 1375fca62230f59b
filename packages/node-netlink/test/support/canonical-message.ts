/** A message with its attributes in order of their types, so that two encoders can be compared. */

/** Which attributes hold attributes, and how many bytes come before them. */
interface Nesting {
  readonly [type: number]: { readonly fixed?: number; readonly inside: Nesting };
}

const link: Nesting = {
  12: { inside: {} },
  18: { inside: { 2: { inside: { 1: { fixed: 16, inside: {} } } } } },
  26: { inside: { 10: { inside: {} } } },
};
/** LINKINFO of kinds whose first attribute is a value, not a peer. */
const plainLink: Nesting = { ...link, 18: { inside: { 2: { inside: {} } } } };
const tuple: Nesting = { 1: { inside: {} }, 2: { inside: {} } };
const nat: Nesting = { 3: { inside: {} } };

const kinds: Readonly<Record<number, { fixed: number; inside: Nesting }>> = {
  16: { fixed: 16, inside: plainLink },
  17: { fixed: 16, inside: plainLink },
  19: { fixed: 16, inside: plainLink },
  20: { fixed: 8, inside: {} },
  21: { fixed: 8, inside: {} },
  24: { fixed: 12, inside: { 8: { inside: {} } } },
  25: { fixed: 12, inside: {} },
  28: { fixed: 12, inside: {} },
  29: { fixed: 12, inside: {} },
  32: { fixed: 12, inside: {} },
  33: { fixed: 12, inside: {} },
  36: { fixed: 20, inside: { 2: { inside: {} } } },
  37: { fixed: 20, inside: {} },
  256: {
    fixed: 4,
    inside: {
      1: { inside: tuple },
      2: { inside: tuple },
      4: { inside: { 1: { inside: {} } } },
      6: { inside: nat },
      13: { inside: nat },
    },
  },
};

const canonicalAttributes = (bytes: Buffer, nesting: Nesting, depth: string): string[] => {
  const found: { type: number; lines: string[] }[] = [];
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    if (length < 4) throw new Error(`broken attribute at ${at} of ${bytes.toString('hex')}`);
    // NLA_F_NESTED is set by some and left out by others; the kernel does not care.
    const type = bytes.readUInt16LE(at + 2) & 0x3fff;
    const payload = bytes.subarray(at + 4, at + length);
    const inner = nesting[type];
    const lines =
      inner === undefined
        ? [`${depth}${type} ${payload.toString('hex')}`]
        : [
            `${depth}${type} {${payload.subarray(0, inner.fixed ?? 0).toString('hex')}`,
            ...canonicalAttributes(payload.subarray(inner.fixed ?? 0), inner.inside, `${depth}  `),
            `${depth}}`,
          ];
    found.push({ type, lines });
    at += (length + 3) & ~3;
  }
  return found.toSorted((a, b) => a.type - b.type).flatMap(({ lines }) => lines);
};

/** Lines of text: type, flags, fixed part, then the attributes sorted, nested ones indented. */
export const canonicalMessage = (bytes: Buffer): string[] => {
  const type = bytes.readUInt16LE(4);
  const kind = kinds[type];
  if (kind === undefined) throw new Error(`no layout for message type ${type}`);
  const veth = type === 16 && bytes.includes('veth');
  const inside = veth ? link : kind.inside;
  return [
    `type ${type} flags ${bytes.readUInt16LE(6).toString(16)}`,
    bytes.subarray(16, 16 + kind.fixed).toString('hex'),
    ...canonicalAttributes(bytes.subarray(16 + kind.fixed), inside, ''),
  ];
};
