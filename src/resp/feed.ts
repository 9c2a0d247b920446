/**
 * The feed: bytes as they come off a socket, read as lines and as runs of known length.
 *
 * Requests and replies are cut by the network wherever it likes. The parsers want two things only: "the
 * next line" and "the next n bytes". The feed gives both, or says "not yet" and remembers how far it
 * came, so that no byte is looked at twice however small the pieces are.
 *
 * The picture to have in mind: a chunk with a cursor, a queue of chunks behind it, and two small baskets
 * for what was cut at a chunk's end: one for a line, one for a run. What lies within one chunk is handed
 * out as a view of that chunk; only what was cut is copied, once. A basket grows with the bytes that
 * came, never with the length that was announced.
 */

import { BYTES_EMPTY } from '../base/bytes.ts';

const CR = 13;
const LF = 10;

/** The line is whole: see `lineBytes`, `lineStart`, `lineEnd`, `lineNext`. */
export const LINE_READY = 0;
/** More bytes are needed. */
export const LINE_PARTIAL = 1;
/** More than the allowed bytes went by without the end of the line. */
export const LINE_TOO_LONG = 2;

/** What `takeBulk` gives when the bytes are not followed by CR LF. */
export const BULK_BROKEN: Uint8Array = new Uint8Array(0);

/** So many pieces of a run are kept as they come, however small. */
const piecesFree = 8;
/** After those, a piece smaller than this is copied into a block, so that tiny pieces never pile up. */
const pieceBytesMin = 4096;
const blockBytes = 16_384;
const lineBytesKept = 1024;

export class ByteFeed {
  /** The chunk being read; its bytes `[at, end)` are still to come. */
  chunk: Uint8Array = BYTES_EMPTY;
  at = 0;
  end = 0;
  /** Where the present command or reply began, counted from the start of `chunk`; often negative. */
  unitAt = 0;

  /** The line last read: `lineBytes[lineStart..lineEnd)`, without what ends it. Good until the next read. */
  lineBytes: Uint8Array = BYTES_EMPTY;
  lineStart = 0;
  lineEnd = 0;
  /** The byte after the terminator of the line last read, if one was asked for. */
  lineNext = 0;

  #queue: Uint8Array[] = [];
  #queueAt = 0;
  #queueBytes = 0;

  #line: Uint8Array = BYTES_EMPTY;
  #lineLength = 0;

  #pieces: Uint8Array[] = [];
  #block: Uint8Array = BYTES_EMPTY;
  #blockLength = 0;
  #gathered = 0;

  /** Adds bytes. The feed keeps views of `chunk`, so the caller must not write to it again. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    if (this.at === this.end && this.#queue.length === 0) {
      this.#turnTo(chunk);
    } else {
      this.#queue.push(chunk);
      this.#queueBytes += chunk.length;
    }
  }

  /** Turns to the next chunk once this one is read; false if there is none. Lets go of the old one. */
  advance(): boolean {
    if (this.#queueAt === this.#queue.length) {
      this.#turnTo(BYTES_EMPTY);
      return false;
    }
    const chunk = this.#queue[this.#queueAt++]!;
    this.#queueBytes -= chunk.length;
    if (this.#queueAt === this.#queue.length) {
      this.#queue = [];
      this.#queueAt = 0;
    }
    this.#turnTo(chunk);
    return true;
  }

  #turnTo(chunk: Uint8Array): void {
    this.unitAt -= this.end;
    this.chunk = chunk;
    this.at = 0;
    this.end = chunk.length;
  }

  /** Bytes that came and were not yet handed out as part of a whole command or reply. */
  get bufferedBytes(): number {
    return this.end - this.unitAt + this.#queueBytes;
  }

  /** Bytes of the present command or reply that were read so far. */
  get unitBytes(): number {
    return this.at - this.unitAt;
  }

  /** The present command or reply is whole; the next begins here. */
  endUnit(): void {
    this.unitAt = this.at;
  }

  /** Whether the start of a line is being kept from an earlier chunk. */
  get lineBegun(): boolean {
    return this.#lineLength > 0;
  }

  /** The first byte of the line to be read. Only where there is one. */
  get lineFirst(): number {
    return this.#lineLength > 0 ? this.#line[0]! : this.chunk[this.at]!;
  }

  /** Forgets everything. */
  clear(): void {
    this.#queue = [];
    this.#queueAt = 0;
    this.#queueBytes = 0;
    this.#line = BYTES_EMPTY;
    this.#lineLength = 0;
    this.lineBytes = BYTES_EMPTY;
    this.#resetPieces();
    this.#turnTo(BYTES_EMPTY);
    this.unitAt = 0;
  }

  /**
   * Reads up to the byte `terminator` and `after` (0 or 1) bytes more.
   *
   * @param bytesMax the terminator must be among the first `bytesMax` + 1 bytes.
   */
  readLine(terminator: number, after: 0 | 1, bytesMax: number): number {
    for (;;) {
      if (this.at === this.end && !this.advance()) return LINE_PARTIAL;
      const { chunk, at, end } = this;
      const kept = this.#lineLength;
      if (after === 1 && kept > 0 && this.#line[kept - 1] === terminator) {
        this.lineNext = chunk[at]!;
        this.at = at + 1;
        this.#useKept(kept - 1);
        return LINE_READY;
      }
      const searchEnd = Math.min(end, at + bytesMax + 1 - kept);
      let found = at;
      while (found < searchEnd && chunk[found] !== terminator) found++;
      if (found - at + kept > bytesMax) return LINE_TOO_LONG;
      if (found + after >= end) {
        this.#keep(chunk, at, end);
        this.at = end;
        continue;
      }
      if (kept === 0) {
        this.lineBytes = chunk;
        this.lineStart = at;
        this.lineEnd = found;
      } else {
        this.#keep(chunk, at, found);
        this.#useKept(this.#lineLength);
      }
      this.lineNext = after === 1 ? chunk[found + 1]! : 0;
      this.at = found + 1 + after;
      return LINE_READY;
    }
  }

  #keep(chunk: Uint8Array, start: number, end: number): void {
    const length = this.#lineLength + end - start;
    if (length > this.#line.length) {
      const larger = new Uint8Array(Math.max(length, this.#line.length * 2, 64));
      larger.set(this.#line.subarray(0, this.#lineLength));
      this.#line = larger;
    }
    for (let i = start, to = this.#lineLength; i < end; i++) this.#line[to++] = chunk[i]!;
    this.#lineLength = length;
  }

  #useKept(length: number): void {
    this.lineBytes = this.#line;
    this.lineStart = 0;
    this.lineEnd = length;
    this.#lineLength = 0;
    if (this.#line.length > lineBytesKept) this.#line = BYTES_EMPTY;
  }

  /**
   * Reads `length` bytes and the CR LF after them: a view of the chunk where they lie in one, else a copy;
   * `undefined` if they have not all come (call again with the same length), `BULK_BROKEN` if they are
   * not followed by CR LF.
   */
  takeBulk(length: number): Uint8Array | undefined {
    const count = length + 2;
    if (this.at === this.end && !this.advance()) return undefined;
    if (this.#gathered === 0 && this.end - this.at >= count) {
      const { chunk, at } = this;
      this.at = at + count;
      if (chunk[at + length] !== CR || chunk[at + length + 1] !== LF) return BULK_BROKEN;
      if (length === 0) return BYTES_EMPTY;
      return new Uint8Array(chunk.buffer, chunk.byteOffset + at, length);
    }
    while (this.#gathered < count) {
      if (this.at === this.end && !this.advance()) return undefined;
      const stop = Math.min(this.end, this.at + count - this.#gathered);
      this.#gather(this.chunk, this.at, stop);
      this.at = stop;
    }
    const bytes = this.#join();
    if (bytes[length] !== CR || bytes[length + 1] !== LF) return BULK_BROKEN;
    return new Uint8Array(bytes.buffer, bytes.byteOffset, length);
  }

  #gather(chunk: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#gathered += length;
    if (length >= pieceBytesMin || this.#pieces.length < piecesFree) {
      this.#closeBlock();
      this.#pieces.push(chunk.subarray(start, end));
      return;
    }
    const needed = this.#blockLength + length;
    if (needed > this.#block.length) {
      const larger = new Uint8Array(Math.max(needed, Math.min(this.#block.length * 2, blockBytes)));
      larger.set(this.#block.subarray(0, this.#blockLength));
      this.#block = larger;
    }
    this.#block.set(chunk.subarray(start, end), this.#blockLength);
    this.#blockLength = needed;
    if (needed >= blockBytes) this.#closeBlock();
  }

  #closeBlock(): void {
    if (this.#blockLength === 0) return;
    this.#pieces.push(this.#block.subarray(0, this.#blockLength));
    this.#block = BYTES_EMPTY;
    this.#blockLength = 0;
  }

  #join(): Uint8Array {
    this.#closeBlock();
    const first = this.#pieces[0]!;
    let bytes = first;
    if (this.#pieces.length > 1) {
      bytes = new Uint8Array(this.#gathered);
      let at = 0;
      for (const piece of this.#pieces) {
        bytes.set(piece, at);
        at += piece.length;
      }
    }
    this.#resetPieces();
    return bytes;
  }

  #resetPieces(): void {
    this.#pieces = [];
    this.#block = BYTES_EMPTY;
    this.#blockLength = 0;
    this.#gathered = 0;
  }
}
