/**
 * Figures in words for people: `1,204`, `1.1 MiB`, `3m 20s`. The same on every machine, whatever its locale.
 */

/** A count with its thousands apart: `12,345`. */
export function countWords(count: number): string {
  const digits = String(Math.round(Math.abs(count)));
  let words = '';
  for (let i = 0; i < digits.length; i++) {
    if (i > 0 && (digits.length - i) % 3 === 0) words += ',';
    words += digits[i]!;
  }
  return count < 0 ? `-${words}` : words;
}

/** A count and its noun: `1 row`, `3 rows`, `no rows`. */
export function plural(count: number, noun: string, nouns: string = `${noun}s`): string {
  return `${count === 0 ? 'no' : countWords(count)} ${count === 1 ? noun : nouns}`;
}

const byteUnits: readonly string[] = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes in binary units, three digits at most: `512 B`, `1.5 KiB`, `123 MiB`. */
export function bytesWords(bytes: number): string {
  let size = Math.max(0, bytes);
  let unit = 0;
  while (size >= 999.5 && unit < byteUnits.length - 1) {
    size /= 1024;
    unit++;
  }
  const words = unit === 0 || size >= 99.95 ? String(Math.round(size)) : size.toFixed(1);
  return `${words} ${byteUnits[unit]}`;
}

const secondMs = 1000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** A duration in its two greatest units: `850ms`, `3.2s`, `42s`, `3m 20s`, `5h 2m`, `12d 3h`. */
export function durationWords(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms < 999.5) return `${Math.round(ms)}ms`;
  if (ms < 9950) return `${(ms / secondMs).toFixed(1)}s`;
  if (ms < minuteMs - 500) return `${Math.round(ms / secondMs)}s`;
  if (ms < hourMs - 500) return twoUnits(ms, minuteMs, 'm', secondMs, 's');
  if (ms < dayMs - minuteMs / 2) return twoUnits(ms, hourMs, 'h', minuteMs, 'm');
  return twoUnits(ms, dayMs, 'd', hourMs, 'h');
}

function twoUnits(ms: number, great: number, greatName: string, small: number, smallName: string): string {
  const smalls = Math.round(ms / small);
  const perGreat = great / small;
  const rest = smalls % perGreat;
  const greats = `${Math.floor(smalls / perGreat)}${greatName}`;
  return rest === 0 ? greats : `${greats} ${rest}${smallName}`;
}
