/**
 * Kinds of values. What is stored is bytes, the same that a Redis client sees; a row has no place for a content
 * type, and none is guessed at when it is written. So the reader says what it wants to see, by `?as=` or `Accept`,
 * and who does not care is told `application/json` if the bytes are JSON, and else `application/octet-stream`.
 * Whatever the label, the body is the stored bytes (docs/decisions/0014-values-without-content-types.md).
 */

import { textOf } from './key.ts';
import { Problem } from './problem.ts';

export type Kind = 'json' | 'text' | 'bytes';

export const MEDIA_TYPES: Readonly<Record<Kind, string>> = {
  json: 'application/json',
  text: 'text/plain; charset=utf-8',
  bytes: 'application/octet-stream',
};

/** What JSON may be larger than the value that is stored of it: blanks between tokens, bytes. */
export const BLANK_BYTES_MAX: number = 16 * 1024;

/** Larger values are not looked into unless the reader asks for JSON, bytes: it takes too long. */
const guessBytesMax = 1024 * 1024;

/** What a value of JSON, or a blank before it, begins with. Most other bytes are told by that, at no cost. */
const beginnings: ReadonlySet<number> = new Set(Buffer.from(' \t\r\n"[{-0123456789tfn'));

/** The JSON text that the bytes are, or undefined. */
export function jsonOf(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0 || !beginnings.has(bytes[0]!)) return undefined;
  const text = textOf(bytes);
  if (text === undefined) return undefined;
  try {
    JSON.parse(text);
    return text;
  } catch {
    return undefined;
  }
}

/**
 * JSON as it is stored: without the blanks between its tokens, and otherwise to the letter, so that long
 * numbers, the order of keys and escapes stay what the writer wrote.
 * @throws Problem `invalid` for what is not JSON in UTF-8
 */
export function compactJson(bytes: Uint8Array): Uint8Array {
  const text = textOf(bytes);
  if (text === undefined) throw new Problem('invalid', 'the body is not UTF-8; nothing was written', 'fail');
  try {
    JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Problem('invalid', `the body is not JSON: ${why}; nothing was written`, 'fail');
  }
  return withoutBlanks(bytes);
}

const quote = 0x22;
const backslash = 0x5c;
const space = 0x20;

/** JSON without what is blank outside of strings: the only bytes up to a space that it may have. */
function withoutBlanks(json: Uint8Array): Uint8Array {
  const compact = new Uint8Array(json.length);
  let length = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]!;
    if (!inString && byte <= space) continue;
    compact[length++] = byte;
    if (byte === quote) inString = !inString;
    else if (byte === backslash && inString) compact[length++] = json[++i]!;
  }
  return compact.subarray(0, length);
}

interface Range {
  readonly type: string;
  readonly quality: number;
}

/** The header `Accept` as a list; what cannot be understood is left out. */
function rangesOf(accept: string): readonly Range[] {
  const ranges: Range[] = [];
  for (const part of accept.split(',')) {
    const [type = '', ...parameters] = part.split(';').map((word) => word.trim().toLowerCase());
    if (!/^[^\s/]+\/[^\s/]+$/.test(type)) continue;
    const quality = parameters.find((word) => word.startsWith('q='));
    const value = quality === undefined ? 1 : Number(quality.slice(2));
    if (value >= 0 && value <= 1) ranges.push({ type, quality: value });
  }
  return ranges;
}

/** How much a reader wants a type, by the most specific range that covers it. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  for (const word of [type, `${type.slice(0, type.indexOf('/'))}/*`, '*/*']) {
    const range = ranges.find((each) => each.type === word);
    if (range !== undefined) return range.quality;
  }
  return 0;
}

const kinds: readonly Kind[] = ['json', 'bytes', 'text'];

function isOfKind(value: Uint8Array, kind: Kind): boolean {
  if (kind === 'bytes') return true;
  return kind === 'json' ? jsonOf(value) !== undefined : textOf(value) !== undefined;
}

/**
 * As what a value is shown.
 * @param as what the reader asked for by name
 * @param accept the header of that name
 * @throws Problem `not-acceptable` if it is not that
 */
export function kindOf(value: Uint8Array, as: Kind | undefined, accept: string | undefined): Kind {
  if (as !== undefined) {
    if (isOfKind(value, as)) return as;
    const words = { json: 'JSON', text: 'text in UTF-8', bytes: '' };
    throw new Problem('not-acceptable', `the value is not ${words[as]}; ask for it with ?as=bytes`);
  }
  const ranges = accept === undefined ? [] : rangesOf(accept);
  const wish = (kind: Kind): number =>
    ranges.length === 0 ? (kind === 'text' ? 0 : 1) : qualityOf(MEDIA_TYPES[kind].split(';')[0]!, ranges);
  const wished = kinds.filter((kind) => wish(kind) > 0).sort((a, b) => wish(b) - wish(a));
  const small = value.length <= guessBytesMax;
  const only = wished.length === 1;
  for (const kind of wished) if ((small || kind !== 'json' || only) && isOfKind(value, kind)) return kind;
  throw new Problem('not-acceptable', `the value is none of what Accept asks for; leave it out, or take */*`);
}
