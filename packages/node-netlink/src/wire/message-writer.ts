/** Builds one netlink message: header, fixed part, attributes. All hosts Node runs on here are little-endian. */

const HEADER = 16;
/** Set on attributes that hold attributes (netlink(7)). */
export const NLA_F_NESTED = 0x8000;

/** Writes one message. The sequence number is filled in by the socket when it sends. */
export class MessageWriter {
  #buffer: Buffer;
  #length = HEADER;

  constructor(type: number, flags: number) {
    this.#buffer = Buffer.alloc(256);
    this.#buffer.writeUInt16LE(type, 4);
    this.#buffer.writeUInt16LE(flags, 6);
  }

  #room(bytes: number): number {
    const at = this.#length;
    const wanted = at + bytes;
    if (wanted > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(wanted, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#length = wanted;
    return at;
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#buffer.writeUInt8(value, at);
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#buffer.writeUInt16LE(value, at);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#buffer.writeUInt32LE(value >>> 0, at);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length);
    this.#buffer.set(value, at);
    return this;
  }

  #pad(): void {
    const over = this.#length & 3;
    if (over !== 0) this.#room(4 - over);
  }

  /** An attribute with this payload. */
  attribute(type: number, payload: Uint8Array): this {
    const at = this.#room(4 + payload.length);
    this.#buffer.writeUInt16LE(4 + payload.length, at);
    this.#buffer.writeUInt16LE(type, at + 2);
    this.#buffer.set(payload, at + 4);
    this.#pad();
    return this;
  }

  #header(type: number, length: number): number {
    const at = this.#room(4 + length);
    this.#buffer.writeUInt16LE(4 + length, at);
    this.#buffer.writeUInt16LE(type, at + 2);
    return at + 4;
  }

  attributeU8(type: number, value: number | boolean): this {
    const at = this.#header(type, 1);
    this.#buffer.writeUInt8(Number(value), at);
    this.#pad();
    return this;
  }

  attributeU16(type: number, value: number): this {
    const at = this.#header(type, 2);
    this.#buffer.writeUInt16LE(value, at);
    this.#pad();
    return this;
  }

  /** Sixteen bits in network byte order. */
  attributeU16BE(type: number, value: number): this {
    const at = this.#header(type, 2);
    this.#buffer.writeUInt16BE(value, at);
    this.#pad();
    return this;
  }

  attributeU32(type: number, value: number): this {
    const at = this.#header(type, 4);
    this.#buffer.writeUInt32LE(value >>> 0, at);
    return this;
  }

  /** Thirty-two bits in network byte order. */
  attributeU32BE(type: number, value: number): this {
    const at = this.#header(type, 4);
    this.#buffer.writeUInt32BE(value >>> 0, at);
    return this;
  }

  attributeU64(type: number, value: bigint): this {
    const at = this.#header(type, 8);
    this.#buffer.writeBigUInt64LE(value, at);
    return this;
  }

  /** A string with its terminating NUL. */
  attributeString(type: number, value: string): this {
    return this.attribute(type, Buffer.from(`${value}\0`));
  }

  /** An attribute that holds the attributes `fill` writes. */
  nest(type: number, fill: () => void): this {
    const at = this.#header(type, 0) - 4;
    fill();
    this.#buffer.writeUInt16LE(this.#length - at, at);
    return this;
  }

  /** The complete message. */
  finish(): Buffer {
    this.#buffer.writeUInt32LE(this.#length, 0);
    return this.#buffer.subarray(0, this.#length);
  }
}
