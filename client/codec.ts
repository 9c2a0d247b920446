/**
 * Codecs: how a value of the program becomes the bytes that Dure stores, and back. The picture: an envelope
 * that the post office never opens.
 */

import { utf8Bytes, utf8Text } from '../src/base/bytes.ts';

/** Turns values into bytes and back. Both ways must be pure: the bytes of a put may be sent more than once. */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  /** @param bytes belong to the client and are good for the call only: copy what is kept. */
  decode(bytes: Uint8Array): T;
}

/** Values as JSON in UTF-8. `undefined`, functions and symbols are refused, since JSON cannot say them. */
export function jsonCodec<T = unknown>(): Codec<T> {
  return json as Codec<T>;
}

const json: Codec<unknown> = {
  encode(value) {
    const text = JSON.stringify(value) as string | undefined;
    if (text === undefined) throw new TypeError('the value cannot be written as JSON');
    return utf8Bytes(text);
  },
  decode: (bytes) => JSON.parse(utf8Text(bytes)) as unknown,
};

/** Bytes as they are. What `get` gives is a copy of its own. */
export const bytesCodec: Codec<Uint8Array> = {
  encode: (value) => value,
  decode: (bytes) => new Uint8Array(bytes),
};

/** Text in UTF-8. */
export const textCodec: Codec<string> = { encode: utf8Bytes, decode: utf8Text };
