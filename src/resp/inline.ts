/**
 * Inline commands: the form for a person with a telnet, `SET greeting "hello\n"`. Words stand apart by
 * spaces; double quotes take escapes, single quotes only `\'`.
 *
 * The rules are those of `sdssplitargs` in Redis's sds.c, its oddities included: a quote may open in the
 * middle of a word, but after a closing quote only a space may follow. One difference: a zero byte is a
 * byte like any other here, where C ends the line.
 */

const SPACE = 0x20;
const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const DOUBLE = 0x22;
const SINGLE = 0x27;
const BACKSLASH = 0x5c;
const X = 0x78;

/** What follows a backslash in double quotes, where it is not itself: n, r, t, b, a. */
const escapes: ReadonlyMap<number, number> = new Map([
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
  [0x62, 0x08],
  [0x61, 0x07],
]);

/**
 * The words of the line `bytes[start..end)`, copied (into one array that all of them share); none for a line of spaces; `undefined` where a quote
 * is not closed or something other than a space follows a closing quote.
 */
export function splitInline(bytes: Uint8Array, start: number, end: number): Uint8Array[] | undefined {
  const words: Uint8Array[] = [];
  const out = new Uint8Array(end - start);
  let length = 0;
  let at = start;
  for (;;) {
    while (at < end && isSpace(bytes[at]!)) at++;
    if (at === end) return words;
    const wordStart = length;
    let quote = 0;
    for (; at < end; at++) {
      const byte = bytes[at]!;
      if (quote === 0) {
        if (byte === SPACE || byte === LF || byte === CR || byte === TAB) break;
        if (byte === DOUBLE || byte === SINGLE) quote = byte;
        else out[length++] = byte;
      } else if (byte === quote) {
        if (at + 1 < end && !isSpace(bytes[at + 1]!)) return undefined;
        quote = 0;
        at++;
        break;
      } else if (byte === BACKSLASH && quote === SINGLE && bytes[at + 1] === SINGLE && at + 1 < end) {
        out[length++] = SINGLE;
        at++;
      } else if (byte === BACKSLASH && quote === DOUBLE && at + 1 < end) {
        const high = bytes[at + 1] === X && at + 3 < end ? hexDigit(bytes[at + 2]!) : -1;
        const low = high >= 0 ? hexDigit(bytes[at + 3]!) : -1;
        if (low >= 0) {
          out[length++] = high * 16 + low;
          at += 3;
        } else {
          const escaped = bytes[++at]!;
          out[length++] = escapes.get(escaped) ?? escaped;
        }
      } else {
        out[length++] = byte;
      }
    }
    if (quote !== 0) return undefined;
    words.push(new Uint8Array(out.buffer, wordStart, length - wordStart));
  }
}

/** As C's `isspace`. */
function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= TAB && byte <= CR);
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
