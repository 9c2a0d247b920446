/**
 * Keys in addresses and in JSON. A key is any bytes: in an address percent-encoded, in JSON as text, or as base64
 * where the bytes are not UTF-8.
 *
 * The router never sees a key. It would decode it as UTF-8, cut it at a length of its own, and take `%2F` for a
 * folder; so `rewriteKeyUrl` puts one fixed word in its place, and `keyOfUrl` reads the address as it came.
 */

import type { ByteString } from '../../base/bytes.ts';
import { byteString, bytesOf, utf8Bytes } from '../../base/bytes.ts';
import { Problem } from './problem.ts';

const keysPath = '/v1/keys/';
export const POLICIES_PATH = '/v1/policies/';

/** Where the router, below `/v1`, has requests for one key. */
export const KEY_ROUTE = '/keys/-';
/** And for the policy of one prefix, which may be any bytes too. */
export const POLICY_ROUTE = '/policies/-';

function pathEnd(url: string): number {
  const end = url.indexOf('?');
  return end < 0 ? url.length : end;
}

/** An address as proxies are sent it, `http://host/path`: without what stands before the path, and that host. */
export function splitUrl(url: string): { readonly path: string; readonly host: string | undefined } {
  const host = /^https?:\/\/([^/?#]*)/i.exec(url);
  if (host === null) return { path: url, host: undefined };
  const path = url.slice(host[0].length);
  return { path: path.startsWith('/') ? path : `/${path}`, host: host[1]! };
}

/** The address that the router is to see. */
export function rewriteKeyUrl(url: string): string {
  const { path } = splitUrl(url);
  if (path.startsWith(POLICIES_PATH)) return `/v1${POLICY_ROUTE}${path.slice(pathEnd(path))}`;
  return path.startsWith(keysPath) ? `/v1${KEY_ROUTE}${path.slice(pathEnd(path))}` : path;
}

/**
 * The key of an address as it came over the wire: all after `/v1/keys/`, its percent-encoding undone.
 * @throws Problem `invalid` for no key, or a percent sign without two hex digits; `no-such-page` for
 *   `/%761/keys/-`, which only the router takes for the same
 */
export function keyOfUrl(url: string): ByteString {
  const { path } = splitUrl(url);
  if (!path.startsWith(keysPath)) {
    throw new Problem('no-such-page', `a key stands behind ${keysPath}, to the letter; nothing was done`);
  }
  const encoded = path.slice(keysPath.length, pathEnd(path));
  if (encoded === '') {
    throw new Problem(
      'invalid',
      'there is no key in the address; the empty key can only be reached by a batch',
    );
  }
  return pathDecoded(encoded);
}

/** The bytes of a part of a path. @throws Problem `invalid` for a percent sign without two hex digits */
export function pathDecoded(encoded: string): ByteString {
  const bytes = percentDecoded(encoded);
  if (bytes === undefined) {
    throw new Problem('invalid', 'a percent sign in the address is not followed by two hex digits');
  }
  return bytes;
}

function percentDecoded(text: string): ByteString | undefined {
  if (/%(?![0-9a-f]{2})/i.test(text)) return undefined;
  return text.replace(/%../g, (triple) => String.fromCharCode(Number.parseInt(triple.slice(1), 16)));
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text that bytes are the UTF-8 of; undefined if they are not. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** The bytes of strict base64, or undefined: Node.js itself would skip what it does not know. */
export function bytesOfBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/**
 * The bytes of a text out of JSON.
 * @param name of the member that holds it
 * @throws Problem `invalid` for half of a surrogate pair: UTF-8 has no bytes for it, and all would become one
 */
export function bytesOfText(text: string, name: string): Uint8Array {
  if (text.isWellFormed()) return utf8Bytes(text);
  throw new Problem('invalid', `${name} holds half of a surrogate pair, which has no UTF-8`, 'fail');
}

/** A key as JSON says it. */
export interface KeyJson {
  readonly key?: string | undefined;
  readonly keyBase64?: string | undefined;
}

export function keyJson(key: ByteString): KeyJson {
  const bytes = bytesOf(key);
  const text = textOf(bytes);
  return text === undefined ? { keyBase64: base64Of(bytes) } : { key: text };
}

/** @throws Problem `invalid` unless there is just one of the two, and base64 is right */
export function keyOfJson({ key, keyBase64 }: KeyJson): ByteString {
  if ((key === undefined) === (keyBase64 === undefined)) {
    throw new Problem('invalid', 'expected either key (text) or keyBase64');
  }
  if (key !== undefined) return byteString(bytesOfText(key, 'key'));
  const bytes = bytesOfBase64(keyBase64!);
  if (bytes === undefined) throw new Problem('invalid', 'keyBase64 is not base64');
  return byteString(bytes);
}
