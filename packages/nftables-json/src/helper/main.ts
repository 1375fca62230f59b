/**
 * The helper process: holds libnftables and answers requests one after the other. A crash of the library ends this process
 * and no other. Started as `main.ts [path of a network namespace]`; ends when its standard input does.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import koffi, { type LibraryHandle } from 'koffi';
import { netfilterGeneration } from './netfilter-generation.ts';
import { headerSize, operation, status } from './protocol.ts';

const MFD_CLOEXEC = 1;
const CLONE_NEWNET = 0x40000000;
/** nftables/libnftables.h of 1.0.6. */
const NFT_CTX_OUTPUT_JSON = 1 << 4;
const NFT_CTX_OUTPUT_NUMERIC_PRIO = 1 << 8;
const NFT_CTX_OUTPUT_TERSE = 1 << 11;
/** Texts and listings above this leave freed memory behind in the C heap: start afresh and give it back. Bytes. */
const largeExchange = 256 * 1024;
const initialBuffer = 64 * 1024;

function enter(libc: LibraryHandle, path: string): void {
  const setns = libc.func('int setns(int, int)');
  const fd = openSync(path, 'r');
  const result = setns(fd, CLONE_NEWNET) as number;
  const errno = koffi.errno();
  closeSync(fd);
  if (result !== 0) throw new Error(`setns(${path}): errno ${errno}`);
}

/** Fills `buffer` to `length`; false when the input ended. */
function readWhole(buffer: Buffer, length: number): boolean {
  for (let at = 0; at < length; ) {
    const got = readSync(0, buffer, at, length - at, null);
    if (got === 0) return false;
    at += got;
  }
  return true;
}

function writeWhole(buffer: Uint8Array): void {
  for (let at = 0; at < buffer.length; ) at += writeSync(1, buffer, at, buffer.length - at);
}

const libc = koffi.load('libc.so.6');
const path = process.argv[2];
if (path !== undefined) enter(libc, path);

const nft = koffi.load('libnftables.so.1');
const open = nft.func('void *nft_ctx_new(uint32_t)');
const free = nft.func('void nft_ctx_free(void *)');
const bufferOutput = nft.func('int nft_ctx_buffer_output(void *)');
const bufferError = nft.func('int nft_ctx_buffer_error(void *)');
const setFlags = nft.func('void nft_ctx_output_set_flags(void *, unsigned int)');
const setDryRun = nft.func('void nft_ctx_set_dry_run(void *, bool)');
const run = nft.func('int nft_run_cmd_from_buffer(void *, const void *)');
const runFile = nft.func('int nft_run_cmd_from_filename(void *, const char *)');
const outputOf = nft.func('void *nft_ctx_get_output_buffer(void *)');
const errorOf = nft.func('void *nft_ctx_get_error_buffer(void *)');
const lengthOf = libc.func('size_t strlen(const void *)');
const memoryFile = libc.func('int memfd_create(const char *, unsigned int)');
const trim = libc.func('int malloc_trim(size_t)');
const generation = netfilterGeneration(libc);

function newContext(): unknown {
  const context = open(0) as unknown;
  bufferOutput(context);
  bufferError(context);
  setFlags(context, NFT_CTX_OUTPUT_NUMERIC_PRIO);
  return context;
}

let context = newContext();
const header = Buffer.alloc(headerSize);
let buffer = Buffer.alloc(initialBuffer);

/** Header and body of a reply; one write when it is small, so that the reader wakes once. */
function reply(code: number, body: Uint8Array): void {
  if (body.length + headerSize <= initialBuffer) {
    const frame = Buffer.allocUnsafe(headerSize + body.length);
    frame.writeUInt32LE(body.length, 0);
    frame[4] = code;
    frame.set(body, headerSize);
    writeWhole(frame);
    return;
  }
  header.writeUInt32LE(body.length, 0);
  header[4] = code;
  writeWhole(header);
  writeWhole(body);
}

const empty = new Uint8Array(0);

function textAt(pointer: unknown): Uint8Array {
  const length = pointer === null ? 0 : Number(lengthOf(pointer));
  return length === 0 ? empty : new Uint8Array(koffi.view(pointer, length) as ArrayBuffer);
}

/**
 * The failure once more, with line and column: libnftables 1.0.6 gives them for files only. A dry run of the same text from a
 * file in memory; undefined when it does not fail again.
 */
function placed(length: number): Uint8Array | undefined {
  const fd = memoryFile('text', MFD_CLOEXEC) as number;
  if (fd < 0) return undefined;
  try {
    for (let at = 0; at < length; ) at += writeSync(fd, buffer, at, length - at, at);
    setDryRun(context, true);
    const failed = runFile(context, `/proc/self/fd/${fd}`) !== 0;
    setDryRun(context, false);
    return failed ? textAt(errorOf(context)) : undefined;
  } finally {
    closeSync(fd);
  }
}

/** Bytes exchanged. */
function answer(code: number, length: number): number {
  if (code === operation.generation) {
    const body = Buffer.allocUnsafe(4);
    body.writeUInt32LE(generation(), 0);
    reply(status.done, body);
    return 0;
  }
  const lists = code >= operation.list;
  const json = code === operation.list || code === operation.listTerse;
  const terse = code === operation.listTerse || code === operation.listTextTerse;
  if (lists)
    setFlags(
      context,
      NFT_CTX_OUTPUT_NUMERIC_PRIO | (json ? NFT_CTX_OUTPUT_JSON : 0) | (terse ? NFT_CTX_OUTPUT_TERSE : 0),
    );
  if (code === operation.check) setDryRun(context, true);
  buffer[length] = 0;
  const failed = run(context, buffer) !== 0;
  let report = failed ? textAt(errorOf(context)) : empty;
  if (failed) report = placed(length) ?? report;
  if (code === operation.check) setDryRun(context, false);
  if (lists) setFlags(context, NFT_CTX_OUTPUT_NUMERIC_PRIO);
  const body = failed ? report : textAt(outputOf(context));
  reply(failed ? status.failed : status.done, body);
  return length + body.length;
}

while (readWhole(header, headerSize)) {
  const length = header.readUInt32LE(0);
  if (length >= buffer.length) buffer = Buffer.alloc(length + 1);
  if (!readWhole(buffer, length)) break;
  if (answer(header[4] as number, length) > largeExchange) {
    free(context);
    context = newContext();
    if (buffer.length > largeExchange) buffer = Buffer.alloc(initialBuffer);
    trim(0);
  }
}
