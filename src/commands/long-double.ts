/**
 * Long doubles: the floating point of INCRBYFLOAT.
 *
 * Redis adds in the 80-bit `long double` of x86 (64 bits of mantissa) and prints 17 places after the
 * point, so that `INCRBYFLOAT x 0.1` after `3` gives `3.1` and not `3.1000000000000001`. JavaScript has
 * only 64-bit doubles, so the same is done here exactly, with whole numbers: a value is
 * `mantissa × 2^exponent`, rounded to the nearest, ties to even (IEEE 754), after each step. Every node
 * gives the same digits, whatever it runs on.
 */

/** A finite value, `mantissa × 2^exponent`, or an infinity (`mantissa` is then its sign). */
export interface LongDouble {
  readonly mantissa: bigint;
  readonly exponent: number;
  readonly infinite: boolean;
}

export const LONG_DOUBLE_ZERO: LongDouble = { mantissa: 0n, exponent: 0, infinite: false };

const mantissaBits = 64;
/** The exponent of the smallest step, and the number of bits of the largest value. */
const exponentMin = -16445;
const magnitudeBitsMax = 16384;
/** Powers of ten beyond which a value is infinite, or zero. */
const decimalExponentMax = 4934;
const decimalExponentMin = -4971;
const charsMax = 5 * 1024;
const places = 17;

const decimalPattern = /^([+-]?)(?:(\d+)\.?(\d*)|\.(\d+))(?:[eE]([+-]?\d+))?$/;
const infinitePattern = /^([+-]?)inf(?:inity)?$/i;

/**
 * The value a text stands for as `strtold` reads it over its whole length, or undefined: not a number, too
 * large, or so small that it would become zero. Unlike `strtold` it takes no hexadecimal.
 */
export function parseLongDouble(text: string): LongDouble | undefined {
  if (text.length >= charsMax) return undefined;
  const infinite = infinitePattern.exec(text);
  if (infinite !== null) return { mantissa: infinite[1] === '-' ? -1n : 1n, exponent: 0, infinite: true };
  const match = decimalPattern.exec(text);
  if (match === null) return undefined;
  const fraction = match[3] ?? match[4] ?? '';
  const digits = `${match[2] ?? ''}${fraction}`.replace(/^0+/, '');
  if (digits === '') return LONG_DOUBLE_ZERO;
  const power = Number(match[5] ?? 0) - fraction.length;
  if (digits.length + power > decimalExponentMax || digits.length + power < decimalExponentMin)
    return undefined;
  const size = BigInt(digits);
  const value =
    power >= 0 ? rounded(size * 10n ** BigInt(power), 1n, 0) : rounded(size, 10n ** BigInt(-power), 0);
  if (value.infinite || value.mantissa === 0n) return undefined;
  return match[1] === '-' ? { ...value, mantissa: -value.mantissa } : value;
}

/** The sum, or undefined where it is infinite or not a number. */
export function addLongDoubles(a: LongDouble, b: LongDouble): LongDouble | undefined {
  if (a.infinite || b.infinite) return undefined;
  const exponent = Math.min(a.exponent, b.exponent);
  const exact = (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent));
  const sum = rounded(exact < 0n ? -exact : exact, 1n, exponent);
  if (sum.infinite) return undefined;
  return exact < 0n ? { ...sum, mantissa: -sum.mantissa } : sum;
}

/** A finite value as C's `%.17Lf` prints it, without the zeros at the end of the fraction. */
export function formatLongDouble(value: LongDouble): string {
  const negative = value.mantissa < 0n;
  const size = negative ? -value.mantissa : value.mantissa;
  const scaled =
    value.exponent >= 0
      ? (size * 10n ** BigInt(places)) << BigInt(value.exponent)
      : dividedToEven(size * 10n ** BigInt(places), 1n << BigInt(-value.exponent));
  const digits = scaled.toString().padStart(places + 1, '0');
  const fraction = digits.slice(-places).replace(/0+$/, '');
  const text = fraction === '' ? digits.slice(0, -places) : `${digits.slice(0, -places)}.${fraction}`;
  return negative && text !== '0' ? `-${text}` : text;
}

/** `numerator / denominator × 2^exponent`, not negative, rounded to what a long double holds. */
function rounded(numerator: bigint, denominator: bigint, exponent: number): LongDouble {
  if (numerator === 0n) return LONG_DOUBLE_ZERO;
  let shift = mantissaBits - (bitLength(numerator) - bitLength(denominator));
  // The quotient has 64 or 65 bits now; a step less if 65, or if the value lies below the normal range.
  const quotientBits = bitLength(shiftedQuotient(numerator, denominator, shift));
  shift = Math.min(shift - (quotientBits - mantissaBits), exponent - exponentMin);
  const mantissa =
    shift >= 0
      ? dividedToEven(numerator << BigInt(shift), denominator)
      : dividedToEven(numerator, denominator << BigInt(-shift));
  const result = exponent - shift;
  const infinite = mantissa !== 0n && bitLength(mantissa) + result > magnitudeBitsMax;
  return { mantissa, exponent: result, infinite };
}

function shiftedQuotient(numerator: bigint, denominator: bigint, shift: number): bigint {
  return shift >= 0
    ? (numerator << BigInt(shift)) / denominator
    : numerator / (denominator << BigInt(-shift));
}

/** The quotient rounded to the nearest whole number, ties to even. */
function dividedToEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  const up = twice > denominator || (twice === denominator && (quotient & 1n) === 1n);
  return up ? quotient + 1n : quotient;
}

function bitLength(value: bigint): number {
  const hex = value.toString(16);
  return (hex.length - 1) * 4 + (32 - Math.clz32(Number.parseInt(hex[0]!, 16)));
}
