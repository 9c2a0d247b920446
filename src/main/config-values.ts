/**
 * The kinds of value a setting can have: how each is read, and how what was expected is said.
 *
 * A setting is a zod type, so that structure, nesting and the gathering of all problems are zod's work;
 * the words are ours, because "expected a size such as 64MiB, found "lots"" helps and "invalid_type"
 * does not.
 */

import { z } from 'zod';

/** A kind of value: its words, and what makes of an unknown the value or undefined. */
export interface Kind<T> {
  /** Completes "expected …". */
  readonly expected: string;
  readonly read: (value: unknown) => T | undefined;
  /** A flag or a variable is taken as it stands, not read as YAML. */
  readonly text?: boolean;
  /** How a default is written for people; `String` if left out. */
  readonly write?: (value: T) => string;
}

/** How a value is shown in a message: short, on one line. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

const namePattern = /^[A-Za-z0-9._-]{1,64}$/;

export const NAME: Kind<string> = {
  expected: '1 to 64 chars of A-Z a-z 0-9 . _ -',
  text: true,
  read: (value) => (typeof value === 'string' && namePattern.test(value) ? value : undefined),
};

export const TEXT: Kind<string> = {
  expected: 'text (in quotes, if it looks like a number)',
  text: true,
  read: (value) => (typeof value === 'string' && value !== '' ? value : undefined),
};

export const HOST: Kind<string> = {
  expected: 'a host name or an address, without a port',
  text: true,
  read: (value) => (typeof value === 'string' && /^[^\s/\]]+$/.test(value) ? value : undefined),
};

export const FLAG: Kind<boolean> = {
  expected: 'true or false',
  read: (value) => (typeof value === 'boolean' ? value : undefined),
};

/** A list of words, in YAML or with commas. */
export function words(expected: string, pattern: RegExp): Kind<readonly string[]> {
  return {
    expected,
    read: (value) => {
      const list: unknown = typeof value === 'string' ? value.split(',').map((word) => word.trim()) : value;
      const good =
        Array.isArray(list) && list.every((word) => typeof word === 'string' && pattern.test(word));
      return good ? list : undefined;
    },
    write: (value) => (value.length === 0 ? '[]' : value.join(', ')),
  };
}

const addressPattern = /^(?:http:\/\/)?([^:[\]\s/,]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})\/?$/;

/** HTTP addresses, in YAML or with commas; each becomes `host:port`. */
export const ADDRESSES: Kind<readonly string[]> = {
  expected: 'HTTP addresses of members, such as http://10.0.0.1:8371',
  text: true,
  read: (value) => {
    const list: unknown = typeof value === 'string' ? value.split(',').map((word) => word.trim()) : value;
    if (!Array.isArray(list)) return undefined;
    const read = list.map((word) => (typeof word === 'string' ? addressPattern.exec(word) : null));
    const good = read.every((match) => match !== null && Number(match[2]) >= 1 && Number(match[2]) <= 65_535);
    return good ? read.map((match) => `${match![1]}:${Number(match![2])}`) : undefined;
  },
  write: (value) => (value.length === 0 ? '[]' : value.join(', ')),
};

export function choice<const T extends string>(values: readonly T[]): Kind<T> {
  return {
    expected: `one of ${values.join(', ')}`,
    text: true,
    read: (value) => values.find((each) => each === value),
  };
}

/** A number from `min` to `max`. */
export function number(min: number, max: number, whole: boolean): Kind<number> {
  const kind = whole ? 'a whole number' : 'a number';
  return {
    expected:
      max === Number.MAX_SAFE_INTEGER ? `${kind} of at least ${min}` : `${kind} from ${min} to ${max}`,
    read: (value) =>
      typeof value === 'number' && value >= min && value <= max && (!whole || Number.isInteger(value))
        ? value
        : undefined,
  };
}

export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Kind<number> {
  return number(min, max, true);
}

export const PORT: Kind<number> = { ...integer(1, 65535), expected: 'a port, 1 to 65535' };
export const PORT_OR_NONE: Kind<number> = {
  ...integer(0, 65535),
  expected: 'a port, 1 to 65535, or 0 for none',
};

const sizeUnits: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kb: 1024,
  kib: 1024,
  m: 1024 ** 2,
  mb: 1024 ** 2,
  mib: 1024 ** 2,
  g: 1024 ** 3,
  gb: 1024 ** 3,
  gib: 1024 ** 3,
};

/** Bytes: a number, or text with a unit. As in Redis, `64mb` means 64 x 1024 x 1024. */
export function bytes(min: number, max: number = Number.MAX_SAFE_INTEGER): Kind<number> {
  const most = max === Number.MAX_SAFE_INTEGER ? '' : ` and at most ${max}`;
  return {
    expected: `a size such as 65536, 64KiB or 1GiB, at least ${min}${most} bytes`,
    read: (value) => inRange(withUnit(value, sizeUnits), min, max),
    write: (value) =>
      inLargestUnit(
        value,
        [
          ['MiB', 1024 ** 2],
          ['KiB', 1024],
        ],
        '',
      ),
  };
}

const durationUnits: Readonly<Record<string, number>> = { '': 1, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds: a number, or text with a unit. */
export function duration(min: number, max: number = 24 * 3_600_000): Kind<number> {
  return {
    expected: `a duration such as 500ms, 2s or 1m, from ${min} to ${max} ms`,
    read: (value) => inRange(withUnit(value, durationUnits), min, max),
    write: (value) =>
      inLargestUnit(
        value,
        [
          ['m', 60_000],
          ['s', 1000],
        ],
        'ms',
      ),
  };
}

function inLargestUnit(
  value: number,
  units: readonly (readonly [name: string, size: number])[],
  smallest: string,
): string {
  if (value === 0) return '0';
  const unit = units.find(([, size]) => value % size === 0);
  return unit === undefined ? `${value}${smallest}` : `${value / unit[1]}${unit[0]}`;
}

function withUnit(value: unknown, units: Readonly<Record<string, number>>): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(value.trim());
  if (match === null) return undefined;
  const unit = units[match[2]!.toLowerCase()];
  return unit === undefined ? undefined : Math.round(Number(match[1]) * unit);
}

function inRange(value: number | undefined, min: number, max: number): number | undefined {
  return value !== undefined && Number.isInteger(value) && value >= min && value <= max ? value : undefined;
}

/** What is known of a setting beside its type. */
export interface SettingNote {
  readonly description: string;
  readonly expected: string;
  /** A flag or a variable is taken as it stands, not read as YAML. */
  readonly text: boolean;
  /** The default as it would be written, or what it follows from. */
  readonly fallback: string;
}

const notes = new WeakMap<object, SettingNote>();

/** The note of a setting; undefined for a section. */
export function noteOf(type: object): SettingNote | undefined {
  return notes.get(type);
}

/** A setting with a default; an absent or empty (`key:`) one takes it. */
export function setting<T>(kind: Kind<T>, fallback: NoInfer<T>, description: string): z.ZodType<T> {
  return noted(kind, description, (kind.write ?? String)(fallback), fallback);
}

/** A setting that may be absent. `fallback` says in words what is done then. */
export function optional<T>(kind: Kind<T>, fallback: string, description: string): z.ZodType<T | undefined> {
  return noted(kind, description, fallback, undefined);
}

/** A setting that must be there. */
export function required<T>(kind: Kind<T>, description: string): z.ZodType<T> {
  return describe(
    z
      .unknown()
      .optional()
      .transform((value, context) => readOrTell(kind, value, context)),
    { description, expected: kind.expected, text: kind.text ?? false, fallback: '(must be given)' },
  );
}

function noted<T, I extends T | undefined>(
  kind: Kind<T>,
  description: string,
  fallback: string,
  initial: I,
): z.ZodType<T | I> {
  const type = z
    .unknown()
    .optional()
    .transform((value, context): T | I =>
      value === undefined || value === null ? initial : readOrTell(kind, value, context),
    );
  return describe(type, { description, expected: kind.expected, text: kind.text ?? false, fallback });
}

/** Notes a setting of a type of its own. */
export function describe<T extends z.ZodType>(type: T, note: SettingNote): T {
  notes.set(type, note);
  return type;
}

function readOrTell<T>(kind: Kind<T>, value: unknown, context: z.core.$RefinementCtx): T {
  const result = kind.read(value);
  if (result !== undefined) return result;
  const found = value === undefined || value === null ? 'nothing' : show(value);
  context.issues.push({
    code: 'custom',
    message: `expected ${kind.expected}; found ${found}`,
    input: value,
  });
  return z.NEVER;
}
