/**
 * The request parser once more, as plainly as it can be written: over the whole input, in one pass, on a
 * string of which each char is one byte. It shares no code with src/resp, so that a mistake there shows as
 * a difference.
 *
 * It tells the commands, the error if there is one, and how many bytes at the end wait for more.
 */

import type { ByteString } from '../../src/base/bytes.ts';
import type { RequestLimits } from '../../src/resp/parser.ts';

/** What a stream comes to. */
export interface Outcome {
  readonly commands: ByteString[][];
  readonly error: string | undefined;
  /** Bytes after the last whole command; 0 after an error. */
  readonly bufferedBytes: number;
}

class Problem extends Error {}
class Incomplete extends Error {}

/** What `text` means under `limits`. */
export function modelParse(text: ByteString, limits: RequestLimits): Outcome {
  const commands: ByteString[][] = [];
  let at = 0;
  try {
    while (at < text.length) {
      const [words, next] = text[at] === '*' ? multibulk(text, at, limits) : inline(text, at, limits);
      if (words.length > 0) commands.push(words);
      at = next;
    }
  } catch (error) {
    if (error instanceof Problem) {
      return { commands, error: `Protocol error: ${error.message}`, bufferedBytes: 0 };
    }
    if (!(error instanceof Incomplete)) throw error;
  }
  return { commands, error: undefined, bufferedBytes: text.length - at };
}

function multibulk(text: ByteString, start: number, limits: RequestLimits): [ByteString[], number] {
  const kind = 'multibulk';
  const [count, afterCount] = header(text, start, limits, kind);
  if (count > BigInt(limits.argumentsMax)) {
    throw new Problem(`${early(limits, count, 2n ** 20n)} ${kind} length`);
  }
  const words: ByteString[] = [];
  let at = afterCount;
  for (let i = 0n; i < count; i++) {
    if (at >= text.length) throw new Incomplete();
    if (text[at] !== '$') throw new Problem(`expected '$', got '${shown(text.charCodeAt(at))}'`);
    const [length, from] = header(text, at, limits, 'bulk');
    if (length < 0n) throw new Problem('invalid bulk length');
    checkBulk(length, limits);
    const stop = from + Number(length);
    if (stop + 2 - start > limits.commandBytesMax) throw new Problem('too big command');
    if (text.length < stop + 2) throw new Incomplete();
    if (text.slice(stop, stop + 2) !== '\r\n') throw new Problem('expected CRLF after bulk');
    words.push(text.slice(from, stop));
    at = stop + 2;
  }
  return [words, at];
}

function early(limits: RequestLimits, value: bigint, most: bigint): string {
  return limits.unauthenticated === true && value <= most ? 'unauthenticated' : 'invalid';
}

function checkBulk(length: bigint, limits: RequestLimits): void {
  if (length > BigInt(limits.bulkBytesMax)) {
    throw new Problem(`${early(limits, length, 2n ** 29n)} bulk length`);
  }
}

/** The number of a line such as `*3` CR LF at `start`, and where the next line begins. */
function header(
  text: ByteString,
  start: number,
  limits: RequestLimits,
  kind: 'multibulk' | 'bulk',
): [bigint, number] {
  const cr = text.indexOf('\r', start);
  const lineBytes = (cr < 0 ? text.length : cr) - start;
  if (lineBytes > limits.inlineBytesMax) {
    throw new Problem(`too big ${kind === 'bulk' ? 'bulk' : 'mbulk'} count string`);
  }
  if (cr < 0 || cr + 1 === text.length) throw new Incomplete();
  const digits = text.slice(start + 1, cr);
  const valid = /^(?:0|-?[1-9][0-9]{0,18})$/.test(digits) && text[cr + 1] === '\n';
  const value = valid ? BigInt(digits) : 2n ** 64n;
  if (BigInt.asIntN(64, value) !== value) throw new Problem(`invalid ${kind} length`);
  return [value, cr + 2];
}

function inline(text: ByteString, start: number, limits: RequestLimits): [ByteString[], number] {
  const lf = text.indexOf('\n', start);
  const lineBytes = (lf < 0 ? text.length : lf) - start;
  if (lineBytes > limits.inlineBytesMax) throw new Problem('too big inline request');
  if (lf < 0) throw new Incomplete();
  const words = split(text.slice(start, lf).replace(/\r$/, ''));
  if (BigInt(words.length) > BigInt(limits.argumentsMax)) {
    throw new Problem(`${early(limits, BigInt(words.length), 2n ** 20n)} multibulk length`);
  }
  for (const word of words) checkBulk(BigInt(word.length), limits);
  return [words, lf + 1];
}

const gap = /^[ \t\n\v\f\r]+/;
const plainText = /^[^"' \t\n\r]+/;
const doubleQuoted = /^"((?:\\[\s\S]|[^"\\])*)"(?=[ \t\n\v\f\r]|$)/;
const singleQuoted = /^'((?:\\'|[^'\\]|\\(?!'))*)'(?=[ \t\n\v\f\r]|$)/;
const escaped = /\\(?:x([0-9a-fA-F]{2})|([\s\S]))/g;
const escapes: Record<string, string> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' };

function split(line: ByteString): ByteString[] {
  const words: ByteString[] = [];
  let rest = line.replace(gap, '');
  while (rest !== '') {
    const plain = plainText.exec(rest)?.[0] ?? '';
    rest = rest.slice(plain.length);
    let word = plain;
    if (rest[0] === '"') {
      const match = doubleQuoted.exec(rest);
      if (match === null) throw new Problem('unbalanced quotes in request');
      word += match[1]!.replace(escaped, (_, hex: string | undefined, char: string | undefined) =>
        hex !== undefined ? String.fromCharCode(Number.parseInt(hex, 16)) : (escapes[char!] ?? char!),
      );
      rest = rest.slice(match[0].length);
    } else if (rest[0] === "'") {
      const match = singleQuoted.exec(rest);
      if (match === null) throw new Problem('unbalanced quotes in request');
      word += match[1]!.replaceAll("\\'", "'");
      rest = rest.slice(match[0].length);
    }
    words.push(word);
    rest = rest.replace(gap, '');
  }
  return words;
}

function shown(code: number): string {
  return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : `\\x${code.toString(16).padStart(2, '0')}`;
}
