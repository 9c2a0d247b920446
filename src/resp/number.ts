/**
 * Numbers as the Redis protocol and the Redis commands write them: decimal text in bytes.
 *
 * Redis is strict about integers (`string2ll` in its util.c): an optional minus, no plus, no leading
 * zeros, no spaces, 64 bits signed. So `01`, `+1`, `-0` and ` 1` are not integers, and a value that is
 * not exactly what printing the number would give is never counted as one.
 *
 * The picture to have in mind: at most 15 digits fit a JavaScript number with room to spare and take the
 * fast path; what is longer is read in two halves and joined as a bigint.
 */

const ZERO = 0x30;
const MINUS = 0x2d;
const digitsFast = 15;
const digitsMost = 19;
const integerMin = -(2n ** 63n);
const integerMax = 2n ** 63n - 1n;
const half = 1_000_000_000n;

/**
 * The signed 64-bit integer written in `bytes[start..end)`, by the strict rules of Redis: a number where
 * that is exact (within 2^53), else a bigint; `undefined` if it is not an integer or does not fit.
 */
export function parseInteger(
  bytes: Uint8Array,
  start = 0,
  end: number = bytes.length,
): number | bigint | undefined {
  if (start >= end) return undefined;
  const negative = bytes[start] === MINUS;
  const first = negative ? start + 1 : start;
  const count = end - first;
  if (count === 0 || count > digitsMost) return undefined;
  if (bytes[first] === ZERO) return count === 1 && !negative ? 0 : undefined;
  if (count <= digitsFast) {
    const value = digits(bytes, first, end);
    if (value < 0) return undefined;
    return negative ? -value : value;
  }
  const high = digits(bytes, first, end - 9);
  const low = digits(bytes, end - 9, end);
  if (high < 0 || low < 0) return undefined;
  const size = BigInt(high) * half + BigInt(low);
  const value = negative ? -size : size;
  if (value < integerMin || value > integerMax) return undefined;
  return size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** As `parseInteger`, always as a bigint: for arithmetic that must stay exact over all 64 bits. */
export function parseInteger64(bytes: Uint8Array, start = 0, end: number = bytes.length): bigint | undefined {
  const value = parseInteger(bytes, start, end);
  return value === undefined ? undefined : BigInt(value);
}

/** As `parseInteger`, but `undefined` also for integers beyond 2^53. */
export function parseSafeInteger(
  bytes: Uint8Array,
  start = 0,
  end: number = bytes.length,
): number | undefined {
  const value = parseInteger(bytes, start, end);
  return typeof value === 'number' ? value : undefined;
}

/** The number written by up to 15 digits, or -1 if one of them is not a digit. */
function digits(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = bytes[i]! - ZERO;
    if (digit >>> 0 > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Whether a bigint fits a signed 64-bit integer, the only integers Redis stores and replies. */
export function fitsInteger64(value: bigint): boolean {
  return value >= integerMin && value <= integerMax;
}

/**
 * Writes the decimal digits of `value` (an integer from 0 to 2^31 - 1) at `at` and returns where they
 * end. The caller has made room for ten bytes.
 */
export function writeDigits(out: Uint8Array, at: number, value: number): number {
  let end = at + digitCount(value);
  const stop = end;
  let left = value | 0;
  do {
    const next = (left / 10) | 0;
    out[--end] = ZERO + (left - next * 10);
    left = next;
  } while (left !== 0);
  return stop;
}

function digitCount(value: number): number {
  if (value < 10) return 1;
  if (value < 100) return 2;
  if (value < 1000) return 3;
  if (value < 10_000) return 4;
  if (value < 100_000) return 5;
  if (value < 1_000_000) return 6;
  if (value < 10_000_000) return 7;
  if (value < 100_000_000) return 8;
  return value < 1_000_000_000 ? 9 : 10;
}

const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const infinite = /^([+-]?)inf(?:inity)?$/i;
const floatCharsMax = 5 * 1024;

/**
 * The double a client wrote, as Redis reads one (`strtod` over all of the bytes): decimal with an
 * optional fraction and exponent, or `inf`. `undefined` for anything else, for spaces and for NaN.
 * Unlike `strtod` it takes no hexadecimal.
 */
export function parseDouble(text: string): number | undefined {
  if (text.length > floatCharsMax) return undefined;
  if (decimal.test(text)) {
    const value = Number(text);
    return Number.isFinite(value) ? value : undefined;
  }
  const match = infinite.exec(text);
  if (match === null) return undefined;
  return match[1] === '-' ? -Infinity : Infinity;
}

/** A double in the fewest digits that read back as the same double; `inf`, `-inf` and `nan` as RESP3 has them. */
export function formatDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (value === Infinity) return 'inf';
  if (value === -Infinity) return '-inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

/**
 * A finite double for people: the fewest digits that read back as the same double, never an exponent, no
 * trailing zeros, no minus before zero.
 */
export function formatFloatHuman(value: number): string {
  const text = String(value === 0 ? 0 : value);
  const e = text.indexOf('e');
  if (e < 0) return text;
  const negative = text.startsWith('-');
  const mantissa = text.slice(negative ? 1 : 0, e);
  const exponent = Number(text.slice(e + 1));
  const point = mantissa.indexOf('.');
  const all = mantissa.replace('.', '');
  const whole = (point < 0 ? mantissa.length : point) + exponent;
  let plain: string;
  if (whole <= 0) plain = `0.${'0'.repeat(-whole)}${all}`;
  else if (whole >= all.length) plain = all + '0'.repeat(whole - all.length);
  else plain = `${all.slice(0, whole)}.${all.slice(whole)}`;
  return negative ? `-${plain}` : plain;
}
