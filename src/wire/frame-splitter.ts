/**
 * Frame splitter: a stream of bytes in, whole frames out (`src/wire/frame.ts` says what a frame is).
 *
 * The picture: a conveyor belt cut at the u32 lengths. A frame that lies whole inside one chunk is
 * handed out as a view of it, without a copy. One that spans chunks is gathered in a buffer that
 * doubles as bytes arrive: the declared length is never allocated ahead, so a peer that lies about it
 * costs only what it really sends, and each byte is copied a bounded number of times.
 */

import { readU32 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { FRAME_BYTES_MAX } from './frame.ts';

const lengthBytes = 4;
/** Length, checksum and one byte: a handshake may be shorter than the header of a message frame. */
const frameBytesMin = 9;
const gatherBytesMin = 4096;

export class FrameSplitter {
  /** Frames above this are refused; may be changed between frames, also from within `onFrame`. */
  frameBytesMax: number;
  readonly #onFrame: (frame: Uint8Array) => void;
  /** Bytes of a frame that is not complete yet; undefined while there are none. */
  #gathered: Uint8Array | undefined = undefined;
  #gatheredLength = 0;

  /**
   * @param onFrame gets each whole frame, length field included, in order. The frame may be a view of
   *   the chunk that was pushed; the splitter never writes to it again.
   */
  constructor(onFrame: (frame: Uint8Array) => void, frameBytesMax: number = FRAME_BYTES_MAX) {
    this.#onFrame = onFrame;
    this.frameBytesMax = frameBytesMax;
  }

  /** Bytes held for a frame that is not complete. */
  get bytesHeld(): number {
    return this.#gatheredLength;
  }

  /**
   * Takes the next bytes of the stream.
   * @throws CodedError `protocol` when a length is impossible; the stream cannot be read on after it.
   */
  push(chunk: Uint8Array): void {
    let offset = this.#gathered === undefined ? 0 : this.#gather(chunk);
    while (chunk.length - offset >= lengthBytes) {
      const length = this.#checkedLength(readU32(chunk, offset));
      const end = offset + length;
      if (end > chunk.length) break;
      // Not `subarray`: of a Node.js Buffer that is a Buffer again, whose `slice` does not copy.
      this.#onFrame(new Uint8Array(chunk.buffer, chunk.byteOffset + offset, length));
      offset = end;
    }
    if (offset < chunk.length) this.#keep(chunk, offset, chunk.length);
  }

  /** Completes the frame begun in earlier chunks, as far as `chunk` goes. @returns bytes used. */
  #gather(chunk: Uint8Array): number {
    let used = 0;
    if (this.#gatheredLength < lengthBytes) {
      used = Math.min(lengthBytes - this.#gatheredLength, chunk.length);
      this.#keep(chunk, 0, used);
      if (this.#gatheredLength < lengthBytes) return used;
    }
    const length = this.#checkedLength(readU32(this.#gathered!, 0));
    const end = Math.min(used + length - this.#gatheredLength, chunk.length);
    this.#keep(chunk, used, end);
    if (this.#gatheredLength === length) {
      const frame = this.#gathered!.subarray(0, length);
      this.#gathered = undefined;
      this.#gatheredLength = 0;
      this.#onFrame(frame);
    }
    return end;
  }

  #keep(chunk: Uint8Array, start: number, end: number): void {
    const needed = this.#gatheredLength + end - start;
    if (this.#gathered === undefined || needed > this.#gathered.length) {
      const larger = new Uint8Array(Math.max(needed, this.#gatheredLength * 2, gatherBytesMin));
      if (this.#gathered !== undefined) larger.set(this.#gathered.subarray(0, this.#gatheredLength));
      this.#gathered = larger;
    }
    this.#gathered.set(chunk.subarray(start, end), this.#gatheredLength);
    this.#gatheredLength = needed;
  }

  #checkedLength(length: number): number {
    if (length < frameBytesMin || length > this.frameBytesMax) {
      throw new CodedError(
        'protocol',
        'none',
        `frame of ${length} bytes announced; ${frameBytesMin} to ${this.frameBytesMax} are possible`,
      );
    }
    return length;
  }
}
