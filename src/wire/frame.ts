/**
 * Frames: what travels between two nodes. One frame holds all messages of one turn for one peer, so
 * that a busy node pays for one checksum and one socket write for many requests.
 *
 * ```
 * u32 length of the whole frame | u32 CRC-32 of what follows | u8 protocol version | message | message …
 * ```
 */

import { type ByteWriter, readU32, writeU32 } from '../base/bytes.ts';
import { crc32 } from '../base/crc32.ts';
import { CodedError } from '../base/errors.ts';

/** Raised when a message changes its bytes; the handshake refuses a peer that speaks another. */
export const PROTOCOL_VERSION = 1;

export const FRAME_HEADER_BYTES = 9;

/** A frame above this is a broken or hostile peer: the pipe is closed. */
export const FRAME_BYTES_MAX: number = 64 * 1024 * 1024;

/** Begins a frame: leaves room for the header that `sealFrame` fills in. */
export function openFrame(writer: ByteWriter): void {
  writer.u32(0);
  writer.u32(0);
  writer.u8(PROTOCOL_VERSION);
}

/** Fills in length and checksum and hands out the frame; the writer starts over. */
export function sealFrame(writer: ByteWriter): Uint8Array {
  sealFrameInPlace(writer);
  return writer.take();
}

/** The same, but the frame is a view of the writer's memory: whoever has it decides when that is free. */
export function sealFrameInPlace(writer: ByteWriter): Uint8Array {
  const frame = writer.view();
  writeU32(frame, 0, frame.length);
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
