/**
 * Bytes as text in base64url (RFC 4648, section 5, without padding): what goes through shells, URLs and clients that
 * take every reply for UTF-8.
 */

import type { ByteString } from './bytes.ts';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const sixBits: ReadonlyMap<string, number> = new Map([...alphabet].map((letter, i) => [letter, i]));

/** The text of some bytes: 4 letters for 3 bytes. */
export function base64UrlOf(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const group = (bytes[at]! << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const letters = Math.min(4, bytes.length - at + 1);
    for (let i = 0; i < letters; i++) text += alphabet[(group >> (18 - 6 * i)) & 63]!;
  }
  return text;
}

/** The bytes of a text; undefined for one that `base64UrlOf` does not make. */
export function bytesOfBase64Url(text: ByteString): Uint8Array | undefined {
  if (text.length % 4 === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let end = 0;
  for (const letter of text) {
    const six = sixBits.get(letter);
    if (six === undefined) return undefined;
    bits = ((bits << 6) | six) & 0xfff;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes[end++] = bits >> held;
  }
  return (bits & ((1 << held) - 1)) === 0 ? bytes : undefined;
}
