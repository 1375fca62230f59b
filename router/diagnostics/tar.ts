/** A file in an archive. */
export interface TarFile {
  /** At most 100 bytes. */
  readonly name: string;
  readonly content: Buffer;
}

const BLOCK = 512;

const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;

/** A header of the ustar format (POSIX.1-1988, pax(1) "ustar Interchange Format"). */
const header = (name: string, size: number, seconds: number): Buffer => {
  const block = Buffer.alloc(BLOCK);
  if (Buffer.byteLength(name) > 100) throw new RangeError(`${name} is too long a name for an archive`);
  block.write(name, 0);
  block.write(octal(0o600, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(seconds, 12), 136);
  // The checksum is computed with its own place full of spaces.
  block.write('        ', 148);
  block.write('0', 156);
  block.write('ustar\0' + '00', 257);
  block.write('root', 265);
  block.write('root', 297);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
};

/** An archive that tar(1) reads, all files of one time (ms since the epoch). */
export const tar = (files: readonly TarFile[], time: number): Buffer => {
  const blocks = files.flatMap(({ name, content }) => [
    header(name, content.length, Math.floor(time / 1000)),
    content,
    Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
};
