/** Reads the attributes of a message in place: lookups scan, nothing is copied until a value is asked for. */

const TYPE_MASK = 0x3fff;

/** The attributes in a part of a buffer. Broken lengths end the scan. */
export class Attributes {
  readonly #buffer: Buffer;
  readonly #start: number;
  readonly #end: number;
  #length = 0;

  constructor(buffer: Buffer, start = 0, end: number = buffer.length) {
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
  }

  /** Offset of the payload of an attribute, or -1; its length is left in #length. */
  #find(type: number): number {
    const buffer = this.#buffer;
    let at = this.#start;
    while (at + 4 <= this.#end) {
      const length = buffer.readUInt16LE(at);
      if (length < 4 || at + length > this.#end) return -1;
      if ((buffer.readUInt16LE(at + 2) & TYPE_MASK) === type) {
        this.#length = length - 4;
        return at + 4;
      }
      at += (length + 3) & ~3;
    }
    return -1;
  }

  has(type: number): boolean {
    return this.#find(type) >= 0;
  }

  u8(type: number): number | undefined {
    const at = this.#find(type);
    return at < 0 || this.#length < 1 ? undefined : this.#buffer.readUInt8(at);
  }

  u16(type: number): number | undefined {
    const at = this.#find(type);
    return at < 0 || this.#length < 2 ? undefined : this.#buffer.readUInt16LE(at);
  }

  u16BE(type: number): number | undefined {
    const at = this.#find(type);
    return at < 0 || this.#length < 2 ? undefined : this.#buffer.readUInt16BE(at);
  }

  u32(type: number): number | undefined {
    const at = this.#find(type);
    return at < 0 || this.#length < 4 ? undefined : this.#buffer.readUInt32LE(at);
  }

  i32(type: number): number | undefined {
    const at = this.#find(type);
    return at < 0 || this.#length < 4 ? undefined : this.#buffer.readInt32LE(at);
  }

  u32BE(type: number): number | undefined {
    const at = this.#find(type);
    return at < 0 || this.#length < 4 ? undefined : this.#buffer.readUInt32BE(at);
  }

  u64BE(type: number): bigint | undefined {
    const at = this.#find(type);
    return at < 0 || this.#length < 8 ? undefined : this.#buffer.readBigUInt64BE(at);
  }

  boolean(type: number): boolean | undefined {
    const value = this.u8(type);
    return value === undefined ? undefined : value !== 0;
  }

  /** A string without its terminating NUL. */
  string(type: number): string | undefined {
    const at = this.#find(type);
    if (at < 0) return undefined;
    let end = at + this.#length;
    while (end > at && this.#buffer[end - 1] === 0) end -= 1;
    return this.#buffer.toString('utf8', at, end);
  }

  /** A view of the payload; valid only until the next receive. */
  bytes(type: number): Buffer | undefined {
    const at = this.#find(type);
    return at < 0 ? undefined : this.#buffer.subarray(at, at + this.#length);
  }

  nested(type: number): Attributes | undefined {
    const at = this.#find(type);
    return at < 0 ? undefined : new Attributes(this.#buffer, at, at + this.#length);
  }

  /** Every attribute in order, as type and payload. */
  *entries(): Generator<[type: number, payload: Buffer]> {
    const buffer = this.#buffer;
    let at = this.#start;
    while (at + 4 <= this.#end) {
      const length = buffer.readUInt16LE(at);
      if (length < 4 || at + length > this.#end) return;
      yield [buffer.readUInt16LE(at + 2) & TYPE_MASK, buffer.subarray(at + 4, at + length)];
      at += (length + 3) & ~3;
    }
  }
}
