/**
 * Frames: what travels between two nodes. One frame holds all messages of one turn for one peer, so
 * that a busy node pays for one checksum and one socket write for many requests.
 *
 * ```
 * u32 length of the whole frame | u32 CRC-32 of what follows
 *   | u8 protocol version | u32 life of the sender | u48 sequence number | message | message …
 * ```
 *
 * A pipe keeps order, but pipes are replaced: what was in the old one may come out behind what went into
 * the new one, or a second time. So frames are numbered over the whole life of their sender, and a
 * receiver (`FrameOrder`) takes only what is above the last it took. A doubled or late frame is then no
 * worse than a lost one, which everything above must bear anyway.
 */

import { type ByteWriter, readU32, readU48, writeU32, writeU48 } from '../base/bytes.ts';
import { crc32 } from '../base/crc32.ts';
import { CodedError } from '../base/errors.ts';

/** Raised when a message changes its bytes; the handshake refuses a peer that speaks another. */
export const PROTOCOL_VERSION = 2;

export const FRAME_HEADER_BYTES = 19;

const lifeAt = 9;
const sequenceAt = 13;

/** A frame above this is a broken or hostile peer: the pipe is closed. */
export const FRAME_BYTES_MAX: number = 64 * 1024 * 1024;

/** Begins a frame: leaves room for the header that `sealFrame` fills in. */
export function openFrame(writer: ByteWriter): void {
  writer.u32(0);
  writer.u32(0);
  writer.u8(PROTOCOL_VERSION);
  writer.u32(0);
  writer.u48(0);
}

/**
 * Fills in the header and hands out the frame; the writer starts over.
 * @param life a u32 that the sender's process drew when it started.
 * @param sequence above that of every frame the life sent to this peer before, below 2^48.
 */
export function sealFrame(writer: ByteWriter, life: number, sequence: number): Uint8Array {
  sealFrameInPlace(writer, life, sequence);
  return writer.take();
}

/** The same, but the frame is a view of the writer's memory: whoever has it decides when that is free. */
export function sealFrameInPlace(writer: ByteWriter, life: number, sequence: number): Uint8Array {
  const frame = writer.view();
  writeU32(frame, 0, frame.length);
  writeU32(frame, lifeAt, life);
  writeU48(frame, sequenceAt, sequence);
  writeU32(frame, 4, crc32(new Uint8Array(frame.buffer, frame.byteOffset + 8, frame.length - 8)));
  return frame;
}

/**
 * Checks a received frame.
 * @throws CodedError `corrupt` if the checksum is wrong, `protocol` if version or length are.
 */
export function checkFrame(frame: Uint8Array): void {
  if (frame.length < FRAME_HEADER_BYTES || readU32(frame, 0) !== frame.length) {
    throw new CodedError('protocol', 'none', `frame of ${frame.length} bytes has a wrong length`);
  }
  const body = new Uint8Array(frame.buffer, frame.byteOffset + 8, frame.length - 8);
  if (readU32(frame, 4) !== crc32(body)) {
    throw new CodedError('corrupt', 'none', `frame of ${frame.length} bytes fails its checksum`);
  }
  if (frame[8] !== PROTOCOL_VERSION) {
    throw new CodedError(
      'protocol',
      'none',
      `frame of protocol version ${frame[8]}, this node speaks ${PROTOCOL_VERSION}`,
    );
  }
}

/** The life a checked frame was sent in. */
export function frameLife(frame: Uint8Array): number {
  return readU32(frame, lifeAt);
}

/** The place of a checked frame among those of its life. */
export function frameSequence(frame: Uint8Array): number {
  return readU48(frame, sequenceAt);
}

/** So many lives of a peer before the present one are remembered: their late frames are refused. */
const livesRemembered = 8;

/**
 * What a receiver has taken of one peer. The picture: a porter who remembers the number of the last ticket
 * and the colours of the books before, and turns away everybody who comes with an older one.
 */
export class FrameOrder {
  /** The life heard last; undefined before the first frame. */
  #life: number | undefined;
  #sequence = 0;
  /** Lives that ended, the latest first. */
  #ended: number[] = [];

  /** Takes a checked frame. @returns false if it is doubled or late: it must not be read. */
  take(frame: Uint8Array): boolean {
    const life = readU32(frame, lifeAt);
    const sequence = readU48(frame, sequenceAt);
    if (life === this.#life) {
      if (sequence <= this.#sequence) return false;
    } else if (!this.#begin(life)) return false;
    this.#sequence = sequence;
    return true;
  }

  #begin(life: number): boolean {
    if (this.#ended.includes(life)) return false;
    if (this.#life !== undefined) {
      this.#ended.unshift(this.#life);
      if (this.#ended.length > livesRemembered) this.#ended.pop();
    }
    this.#life = life;
    return true;
  }
}
