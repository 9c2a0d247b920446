/**
 * Long doubles: the arithmetic of INCRBYFLOAT and HINCRBYFLOAT.
 *
 * Redis adds floats as the C type `long double`, which on x86-64 has a significand of 64 bits, and prints
 * the sum with up to 17 decimals (`%.17Lf`, trailing zeros cut). That is why 0.1 + 0.2 is `0.3` in Redis
 * and 1 - 1.1 is `-0.1`, where JavaScript's doubles show `0.30000000000000004`. To answer as Redis does,
 * this file computes with the same 64 bits and the same rounding, in bigints.
 *
 * The picture to have in mind: a number is `significand * 2 ^ exponent`, the significand a signed bigint
 * of at most 64 bits. Every operation is done exactly and then rounded once, to nearest, ties to even.
 *
 * Left out: hexadecimal floats, which `strtold` also reads, and the lost bits of numbers below 1e-4931,
 * of which 17 decimals show nothing.
 */

/** `significand * 2 ^ exponent`; an infinity has the exponent Infinity and a significand of 1 or -1, NaN 0. */
export interface LongDouble {
  readonly significand: bigint;
  readonly exponent: number;
}

const significandBits = 64;
/** The largest number is just below 2 to this. */
const exponentMax = 16384;
/** The smallest number above zero is 2 to this. */
const exponentMin = -16445;
const charsMax = 5 * 1024 - 1;
const decimalsMax = 17;
const decimalsScale = 10n ** BigInt(decimalsMax);
const tenPowerMax = 4950;

const decimal = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;
const infinite = /^([+-]?)inf(?:inity)?$/i;

/**
 * The number that `text` writes: decimal with an optional fraction and exponent, or `inf`; `undefined` for
 * anything else, for what is too large or too small to be held, and for 5 KiB of text or more.
 */
export function parseLongDouble(text: string): LongDouble | undefined {
  if (text.length > charsMax) return undefined;
  const match = decimal.exec(text);
  if (match === null) {
    const sign = infinite.exec(text)?.[1];
    if (sign === undefined) return undefined;
    return { significand: sign === '-' ? -1n : 1n, exponent: Infinity };
  }
  const [, sign, whole = '', fraction = '', power = '0'] = match;
  const digits = (whole + fraction).replace(/^0+/, '');
  if (whole + fraction === '') return undefined;
  if (digits === '') return { significand: 0n, exponent: 0 };
  const tens = Number(power) - fraction.length;
  if (Math.abs(tens + digits.length) > tenPowerMax + 1) return undefined;
  const size = BigInt(digits);
  const ten = 10n ** BigInt(Math.abs(tens));
  const value = tens >= 0 ? round(size * ten, 0) : divide(size, ten);
  if (value.exponent === Infinity || bitLength(value.significand) + value.exponent < exponentMin) {
    return undefined;
  }
  return sign === '-' ? { significand: -value.significand, exponent: value.exponent } : value;
}

/**
 * `dividend / divisor`, rounded. The division gives more bits than are kept; a last bit says whether it
 * left something, so that what looks like a tie is known for one or not.
 */
function divide(dividend: bigint, divisor: bigint): LongDouble {
  const shift = Math.max(0, bitLength(divisor) - bitLength(dividend) + significandBits + 2);
  const scaled = dividend << BigInt(shift);
  const whole = scaled / divisor;
  const rest = whole * divisor === scaled ? 0n : 1n;
  return round((whole << 1n) | rest, -shift - 1);
}

/** The sum, rounded; infinite or NaN (see `isFiniteLongDouble`) where the sum is. */
export function addLongDouble(a: LongDouble, b: LongDouble): LongDouble {
  if (a.exponent === Infinity || b.exponent === Infinity) {
    if (a.exponent !== Infinity) return b;
    if (b.exponent !== Infinity || a.significand === b.significand) return a;
    return { significand: 0n, exponent: Infinity };
  }
  const exponent = Math.min(a.exponent, b.exponent);
  const left = a.significand << BigInt(a.exponent - exponent);
  const right = b.significand << BigInt(b.exponent - exponent);
  return round(left + right, exponent);
}

/** Whether the number is neither infinite nor NaN. */
export function isFiniteLongDouble(value: LongDouble): boolean {
  return value.exponent !== Infinity;
}

/** A finite number with up to 17 decimals: no exponent, no trailing zeros, no minus before zero. */
export function formatLongDouble(value: LongDouble): string {
  const negative = value.significand < 0n;
  const size = negative ? -value.significand : value.significand;
  const scaled =
    value.exponent >= 0
      ? (size << BigInt(value.exponent)) * decimalsScale
      : shiftRight(size * decimalsScale, -value.exponent);
  if (scaled === 0n) return '0';
  const digits = scaled.toString().padStart(decimalsMax + 1, '0');
  const whole = digits.slice(0, -decimalsMax);
  const fraction = digits.slice(-decimalsMax).replace(/0+$/, '');
  return `${negative ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

/** `significand * 2 ^ exponent` with at most 64 bits. */
function round(significand: bigint, exponent: number): LongDouble {
  if (significand === 0n) return { significand, exponent: 0 };
  const negative = significand < 0n;
  let size = negative ? -significand : significand;
  let power = exponent;
  const extra = bitLength(size) - significandBits;
  if (extra > 0) {
    size = shiftRight(size, extra);
    power += extra;
  }
  if (bitLength(size) + power > exponentMax) return { significand: negative ? -1n : 1n, exponent: Infinity };
  return { significand: negative ? -size : size, exponent: power };
}

/** `size / 2 ^ bits`, to nearest, ties to even. */
function shiftRight(size: bigint, bits: number): bigint {
  const by = BigInt(bits);
  const whole = size >> by;
  const rest = size - (whole << by);
  const half = 1n << (by - 1n);
  return rest > half || (rest === half && (whole & 1n) === 1n) ? whole + 1n : whole;
}

/** Bits of a number's absolute value. */
function bitLength(value: bigint): number {
  const hex = (value < 0n ? -value : value).toString(16);
  return (hex.length - 1) * 4 + (32 - Math.clz32(Number.parseInt(hex[0]!, 16)));
}
