/**
 * Frames: what travels between two nodes. One frame holds all messages of one turn for one peer, so
 * that a busy node pays for one checksum and one socket write for many requests.
 *
 * ```
 * u32 length of the whole frame | u32 CRC-32 of what follows
 *   | u8 protocol version | u32 life of the sender | u48 sequence number | u32 topology epoch of the sender
 *   | message | message …
 * ```
 *
 * A frame says its version, and is read by that. Version 4 has no epoch in its header and is else the same; it
 * is spoken with nodes that do not know better, so that a cluster can be upgraded one node at a time.
 *
 * A pipe keeps order, but pipes are replaced: what was in the old one may come out behind what went into
 * the new one, or a second time. So frames are numbered over the whole life of their sender, and a
 * receiver (`FrameOrder`) takes only what is above the last it took of that life. A doubled or overtaken
 * frame is then no worse than a lost one, which everything above must bear anyway.
 */

import { type ByteWriter, readU32, readU48, writeU32, writeU48 } from '../base/bytes.ts';
import { crc32 } from '../base/crc32.ts';
import { CodedError } from '../base/errors.ts';

/**
 * Raised when a message changes its bytes. A pipe is opened in the latest version that both ends speak
 * (`handshake.ts`), and whoever writes to it asks for that version where the bytes differ.
 */
export const PROTOCOL_VERSION = 5;

/** The oldest version that is still spoken: the one before. */
export const PROTOCOL_VERSION_LEAST = 4;

/** Since this version headers carry the epoch, gossip what is settled, and members can change. */
export const PROTOCOL_VERSION_TOPOLOGY = 5;

const versionAt = 8;
const lifeAt = 9;
const sequenceAt = 13;
const epochAt = 19;

/** Bytes before the first message of a frame of the present version. */
export const FRAME_HEADER_BYTES = 23;
const headerBytesWithoutEpoch = 19;

/** A frame above this is a broken or hostile peer: the pipe is closed. */
export const FRAME_BYTES_MAX: number = 64 * 1024 * 1024;

function headerBytesOf(version: number): number {
  return version < PROTOCOL_VERSION_TOPOLOGY ? headerBytesWithoutEpoch : FRAME_HEADER_BYTES;
}

/** Bytes before the first message of an opened or checked frame. */
export function frameHeaderBytes(frame: Uint8Array): number {
  return headerBytesOf(frame[versionAt]!);
}

/**
 * Begins a frame: leaves room for the header that `sealFrame` fills in.
 * @param version of the pipe the frame is for.
 */
export function openFrame(writer: ByteWriter, version: number = PROTOCOL_VERSION): void {
  writer.u32(0);
  writer.u32(0);
  writer.u8(version);
  writer.u32(0);
  writer.u48(0);
  if (version >= PROTOCOL_VERSION_TOPOLOGY) writer.u32(0);
}

/** Whether an opened frame has no message yet. */
export function isFrameEmpty(writer: ByteWriter, version: number): boolean {
  return writer.length <= headerBytesOf(version);
}

/**
 * Fills in the header and hands out the frame; the writer starts over.
 * @param life a u32 that the sender's process drew when it started.
 * @param sequence above that of every frame the life sent to this peer before, below 2^48.
 * @param epoch of the topology in force at the sender, a u32; a frame of version 4 leaves it out.
 */
export function sealFrame(writer: ByteWriter, life: number, sequence: number, epoch = 0): Uint8Array {
  sealFrameInPlace(writer, life, sequence, epoch);
  return writer.take();
}

/** The same, but the frame is a view of the writer's memory: whoever has it decides when that is free. */
export function sealFrameInPlace(
  writer: ByteWriter,
  life: number,
  sequence: number,
  epoch: number,
): Uint8Array {
  const frame = writer.view();
  writeU32(frame, 0, frame.length);
  writeU32(frame, lifeAt, life);
  writeU48(frame, sequenceAt, sequence);
  if (frame[versionAt]! >= PROTOCOL_VERSION_TOPOLOGY) writeU32(frame, epochAt, epoch);
  writeU32(frame, 4, crc32(new Uint8Array(frame.buffer, frame.byteOffset + 8, frame.length - 8)));
  return frame;
}

/**
 * Checks a received frame.
 * @throws CodedError `corrupt` if the checksum is wrong, `protocol` if version or length are.
 */
export function checkFrame(frame: Uint8Array): void {
  if (frame.length < headerBytesWithoutEpoch || readU32(frame, 0) !== frame.length) {
    throw new CodedError('protocol', 'none', `frame of ${frame.length} bytes has a wrong length`);
  }
  const body = new Uint8Array(frame.buffer, frame.byteOffset + 8, frame.length - 8);
  if (readU32(frame, 4) !== crc32(body)) {
    throw new CodedError('corrupt', 'none', `frame of ${frame.length} bytes fails its checksum`);
  }
  const version = frame[versionAt]!;
  if (version < PROTOCOL_VERSION_LEAST || version > PROTOCOL_VERSION) {
    const spoken = `${PROTOCOL_VERSION_LEAST} to ${PROTOCOL_VERSION}`;
    throw new CodedError(
      'protocol',
      'none',
      `frame of protocol version ${version}, this node speaks ${spoken}`,
    );
  }
  if (frame.length < headerBytesOf(version)) {
    throw new CodedError('protocol', 'none', `frame of ${frame.length} bytes has a wrong length`);
  }
}

/** The life a checked frame was sent in. */
export function frameLife(frame: Uint8Array): number {
  return readU32(frame, lifeAt);
}

/** The topology epoch of the sender of a checked frame; 0 if the frame is of a version that does not tell. */
export function frameEpoch(frame: Uint8Array): number {
  return frame[versionAt]! < PROTOCOL_VERSION_TOPOLOGY ? 0 : readU32(frame, epochAt);
}

/** The place of a checked frame among those of its life. */
export function frameSequence(frame: Uint8Array): number {
  return readU48(frame, sequenceAt);
}

/** Of so many lives of a peer it is remembered which frame came last. */
const livesRemembered = 8;

/**
 * What a receiver has taken of one peer. The picture: a porter with a strip of ticket books, one a life of
 * the sender, who notes the last number of each and turns away everybody who comes with that or a smaller
 * one.
 *
 * A frame of a life that has ended is taken if it is above the last of that life: it was sent before the
 * end, and is late, which is nothing special. To refuse it, lives would have to be put in an order, and a
 * late frame of a life that was never heard of would then silence the present one.
 */
export class FrameOrder {
  /** Lives, the one heard last in front, and the number each has come to. */
  readonly #lives: number[] = [];
  readonly #sequences: number[] = [];
  /** The life that was met last for the first time: the present one, as far as frames can tell. */
  #newest = -1;
  /** Whether frames were missing between the one taken last and the one before it. */
  hasGap = false;
  /** Whether the frame taken last is the first of a life. */
  isFirstOfLife = false;
  /** Whether it is that, and lives before it are known. */
  isReborn = false;

  /**
   * Whether the frame taken last is of a life that has ended, as far as frames can tell: a later one was met.
   * What that life holds may be lost with its disk. See `confirm`.
   */
  get isOfPastLife(): boolean {
    return this.#lives[0] !== this.#newest;
  }

  /**
   * The life of the frame taken last said something after the newest one was met: so it is the present one, and
   * what was taken for newer was a late frame of a life before it.
   */
  confirm(): void {
    this.#newest = this.#lives[0] ?? -1;
  }

  /** Takes a checked frame. @returns false if it is doubled, or behind a later one: it must not be read. */
  take(frame: Uint8Array): boolean {
    const sequence = readU48(frame, sequenceAt);
    this.isFirstOfLife = false;
    this.isReborn = false;
    if (readU32(frame, lifeAt) !== this.#lives[0]) this.#turnTo(readU32(frame, lifeAt));
    if (sequence <= this.#sequences[0]!) return false;
    this.hasGap = sequence !== this.#sequences[0]! + 1;
    this.#sequences[0] = sequence;
    return true;
  }

  #turnTo(life: number): void {
    const at = this.#lives.indexOf(life);
    const sequence = at < 0 ? -1 : this.#sequences[at]!;
    if (at >= 0) {
      this.#lives.splice(at, 1);
      this.#sequences.splice(at, 1);
    }
    if (at < 0) {
      this.isFirstOfLife = true;
      this.isReborn = this.#lives.length > 0;
      this.#newest = life;
    }
    this.#lives.unshift(life);
    this.#sequences.unshift(sequence);
    if (this.#lives.length <= livesRemembered) return;
    this.#lives.pop();
    this.#sequences.pop();
  }
}
