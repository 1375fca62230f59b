/** What flows echo: a sender, a number, and bytes that follow from both, so that none can be taken for another. */
export const MESSAGE_LENGTH = 64;

/** Message `number` of sender `sender` (32 bits each), written into `into`. */
export const writeMessage = (into: Buffer, sender: number, number: number): void => {
  into.writeUInt32BE(sender, 0);
  into.writeUInt32BE(number, 4);
  // xorshift32 (Marsaglia 2003), seeded with both; never 0.
  let state = (sender ^ Math.imul(number + 1, 0x9e3779b1)) | 1;
  for (let offset = 8; offset < MESSAGE_LENGTH; offset += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    into.writeInt32BE(state | 0, offset);
  }
};

/** The endless stream a bulk flow carries repeats this. Its length is prime: no shift by a segment looks the same. */
export const STREAM = ((): Buffer => {
  const bytes = Buffer.alloc(65_521);
  let state = 1;
  for (let offset = 0; offset < bytes.length; offset += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[offset] = state & 0xff;
  }
  return bytes;
})();

/** Bytes `from` to `from + length` of the stream, in pieces that need no copy. */
export function* streamPieces(from: number, length: number): Generator<Buffer> {
  let position = from % STREAM.length;
  let left = length;
  while (left > 0) {
    const piece = STREAM.subarray(position, position + left);
    yield piece;
    left -= piece.length;
    position = 0;
  }
}
