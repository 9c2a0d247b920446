/**
 * CRC-16/XMODEM, the checksum Redis Cluster maps keys to slots with (polynomial 0x1021, no
 * reflection, initial value 0). Source: the Redis Cluster specification, appendix A.
 */

import type { ByteString } from './bytes.ts';

const table = new Uint16Array(256);
for (let n = 0; n < 256; n++) {
  let c = n << 8;
  for (let k = 0; k < 8; k++) c = c & 0x8000 ? (c << 1) ^ 0x1021 : c << 1;
  table[n] = c;
}

/** The CRC-16 after one more byte. */
export function crc16Step(crc: number, byte: number): number {
  return ((crc << 8) & 0xffff) ^ table[((crc >>> 8) ^ byte) & 0xff]!;
}

/** CRC-16 of `text[start..end)`. */
export function crc16(text: ByteString, start = 0, end: number = text.length): number {
  let crc = 0;
  for (let i = start; i < end; i++) {
    crc = ((crc << 8) & 0xffff) ^ table[((crc >>> 8) ^ text.charCodeAt(i)) & 0xff]!;
  }
  return crc;
}
