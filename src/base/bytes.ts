/**
 * Bytes: the two shapes they take in Dure.
 *
 * - `ByteString`: a JavaScript string in which every char is one byte (0 to 255). Keys are byte
 *   strings, because a string hashes, compares (in byte order) and sits in a `Map` for free.
 * - `Uint8Array`: values and frames. Never a Node.js `Buffer` by name, so that the core runs anywhere;
 *   a `Buffer` handed in is fine, since it is a `Uint8Array`.
 *
 * `ByteWriter` and `ByteReader` are a cursor over bytes: big-endian integers, so that encoded numbers
 * sort as bytes in numeric order.
 */

import { assert } from './assert.ts';
import { CodedError } from './errors.ts';

/** A string of which each char is one byte. */
export type ByteString = string;

export const BYTES_EMPTY: Uint8Array = new Uint8Array(0);

/** Strings up to this length are made in one piece; longer ones are put together from such pieces. */
const pieceLength = 64;
const pieces: number[][] = Array.from({ length: pieceLength + 1 }, (_, length) => new Array(length).fill(0));

/**
 * An array of `length` (1 to 64) chars codes to be filled and handed to `textOfCodes`; the same one each
 * time. A string made of it is flat: one put together with `+` is flattened when it is first looked up.
 */
export function codesOf(length: number): number[] {
  return pieces[length]!;
}

/** The string of the char codes. */
export function textOfCodes(codes: number[]): ByteString {
  return String.fromCharCode.apply(null, codes);
}

/** The byte string of `bytes[start..end)`. */
export function byteString(bytes: Uint8Array, start = 0, end: number = bytes.length): ByteString {
  let text = '';
  for (let from = start; from < end; from += pieceLength) {
    const length = Math.min(pieceLength, end - from);
    const codes = codesOf(length);
    for (let i = 0; i < length; i++) codes[i] = bytes[from + i]!;
    const piece = textOfCodes(codes);
    if (length === end - start) return piece;
    text += piece;
  }
  return text;
}

/** The bytes of a byte string. */
export function bytesOf(text: ByteString): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder();

/** UTF-8 bytes of any string. */
export function utf8Bytes(text: string): Uint8Array {
  return utf8Encoder.encode(text);
}

/** The string a client wrote as UTF-8; malformed bytes become U+FFFD. */
export function utf8Text(bytes: Uint8Array): string {
  return utf8Decoder.decode(bytes);
}

/** Byte order: negative, zero or positive as `a` is less than, equal to or greater than `b`. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Whether two byte arrays hold the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

const u16 = 0x1_0000;
const u32 = 0x1_0000_0000;

/** The unsigned 48-bit integer at `offset`. */
export function readU48(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 8) | bytes[offset + 1]!) * u32 +
    (((bytes[offset + 2]! << 24) |
      (bytes[offset + 3]! << 16) |
      (bytes[offset + 4]! << 8) |
      bytes[offset + 5]!) >>>
      0)
  );
}

/** Writes an unsigned 48-bit integer at `offset`. */
export function writeU48(bytes: Uint8Array, offset: number, value: number): void {
  const high = Math.floor(value / u32);
  const low = (value % u32) | 0;
  bytes[offset] = high >>> 8;
  bytes[offset + 1] = high;
  bytes[offset + 2] = low >>> 24;
  bytes[offset + 3] = low >>> 16;
  bytes[offset + 4] = low >>> 8;
  bytes[offset + 5] = low;
}

/** The unsigned 32-bit integer at `offset`. */
export function readU32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!) >>>
    0
  );
}

/** Writes an unsigned 32-bit integer at `offset`. */
export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/**
 * A growing byte buffer. `take` hands out what was written and starts over in a new buffer, so what
 * was handed out is never written again.
 */
export class ByteWriter {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(capacity);
  }

  /** Makes room for `count` more bytes. Doubling keeps the copying linear. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.bytes.length * 2));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  u8(value: number): void {
    if (this.length === this.bytes.length) this.reserve(1);
    this.bytes[this.length++] = value;
  }

  u16(value: number): void {
    this.reserve(2);
    this.bytes[this.length++] = value >>> 8;
    this.bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.reserve(4);
    writeU32(this.bytes, this.length, value);
    this.length += 4;
  }

  u48(value: number): void {
    this.reserve(6);
    writeU48(this.bytes, this.length, value);
    this.length += 6;
  }

  /** An IEEE 754 double. */
  f64(value: number): void {
    this.reserve(8);
    new DataView(this.bytes.buffer, this.bytes.byteOffset).setFloat64(this.length, value);
    this.length += 8;
  }

  /** The bytes themselves, without a length. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** The chars of a byte string, without a length. */
  rawText(text: ByteString): void {
    this.reserve(text.length);
    for (let i = 0; i < text.length; i++) this.bytes[this.length++] = text.charCodeAt(i);
  }

  /** A u32 length, then the bytes. */
  blob(bytes: Uint8Array): void {
    this.u32(bytes.length);
    this.raw(bytes);
  }

  /** A u16 length, then the chars. At most 65,535 of them. */
  text(text: ByteString): void {
    assert(text.length < u16, 'a byte string on the wire is shorter than 64 KiB');
    this.u16(text.length);
    this.rawText(text);
  }

  /** Begins a blob whose length is not known yet; hand the result to `blobEnd`. */
  blobBegin(): number {
    const at = this.length;
    this.u32(0);
    return at;
  }

  /** Ends the blob begun at `at`: fills in its length. */
  blobEnd(at: number): void {
    writeU32(this.bytes, at, this.length - at - 4);
  }

  /** What was written so far, as a view that the next write may overwrite. */
  view(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  /** Starts over in the same memory: what was handed out by `view` must be of no more use. */
  clear(): void {
    this.length = 0;
  }

  /** What was written so far, owned by the caller; the writer starts over. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.length);
    this.bytes = new Uint8Array(Math.max(1024, Math.min(this.length, 65536)));
    this.length = 0;
    return taken;
  }
}

/** Reads what a `ByteWriter` wrote. Reading past the end is a `CodedError` (`protocol`), not a bug. */
export class ByteReader {
  readonly bytes: Uint8Array;
  offset: number;
  readonly end: number;

  constructor(bytes: Uint8Array, offset = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  private need(count: number): number {
    const at = this.offset;
    if (at + count > this.end) {
      throw new CodedError(
        'protocol',
        'none',
        `message cut short: ${count} bytes wanted, ${this.end - at} left`,
      );
    }
    this.offset = at + count;
    return at;
  }

  u8(): number {
    return this.bytes[this.need(1)]!;
  }

  u16(): number {
    const at = this.need(2);
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!;
  }

  u32(): number {
    return readU32(this.bytes, this.need(4));
  }

  u48(): number {
    return readU48(this.bytes, this.need(6));
  }

  f64(): number {
    const at = this.need(8);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset).getFloat64(at);
  }

  /** A view of the next `count` bytes, not a copy. */
  raw(count: number): Uint8Array {
    const at = this.need(count);
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + at, count);
  }

  /** A view of the bytes after a u32 length. */
  blob(): Uint8Array {
    return this.raw(this.u32());
  }

  /** A reader of the blob that comes next; this reader goes on after it. */
  blobReader(): ByteReader {
    const length = this.u32();
    const at = this.need(length);
    return new ByteReader(this.bytes, at, at + length);
  }

  /** The byte string after a u16 length. */
  text(): ByteString {
    const length = this.u16();
    const at = this.need(length);
    return byteString(this.bytes, at, at + length);
  }
}
