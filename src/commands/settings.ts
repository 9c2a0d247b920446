/**
 * Settings: ways to make the parameters of CONFIG GET and CONFIG SET. Which ones there are, and what they
 * do, is up to the composition root; what they have in common is here.
 */

import type { Setting } from './facts.ts';

/** A parameter that cannot be changed while the node runs. */
export function fixedSetting(name: string, get: () => string, instead?: string): Setting {
  return instead === undefined ? { name, get } : { name, get, instead };
}

/** A whole number within bounds. */
export function integerSetting(
  name: string,
  bounds: readonly [number, number],
  get: () => number,
  set: (value: number) => void,
): Setting {
  const [least, most] = bounds;
  return {
    name,
    get: () => String(get()),
    problem: (value) => {
      if (!/^-?\d+$/.test(value)) return "argument couldn't be parsed into an integer";
      const number = Number(value);
      return number < least || number > most
        ? `argument must be between ${least} and ${most} inclusive`
        : undefined;
    },
    set: (value) => set(Number(value)),
  };
}

const memoryUnits: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['k', 1000],
  ['kb', 1024],
  ['m', 1000 ** 2],
  ['mb', 1024 ** 2],
  ['g', 1000 ** 3],
  ['gb', 1024 ** 3],
]);

/** Bytes of a size as redis.conf writes it (`100mb`, `1g`, `5000`), or undefined. */
export function memoryBytesOf(text: string): number | undefined {
  const match = /^(\d+)([a-z]*)$/i.exec(text);
  const unit = memoryUnits.get(match?.[2]?.toLowerCase() ?? 'none');
  if (match === null || unit === undefined) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A size in bytes. */
export function memorySetting(name: string, get: () => number, set: (bytes: number) => void): Setting {
  return {
    name,
    get: () => String(get()),
    problem: (value) => (memoryBytesOf(value) === undefined ? 'argument must be a memory value' : undefined),
    set: (value) => set(memoryBytesOf(value)!),
  };
}

/** One of some words. */
export function choiceSetting(
  name: string,
  choices: readonly string[],
  get: () => string,
  set: (value: string) => void,
): Setting {
  return {
    name,
    get,
    problem: (value) =>
      choices.includes(value.toLowerCase())
        ? undefined
        : `argument(s) must be one of the following: ${choices.join(', ')}`,
    set: (value) => set(value.toLowerCase()),
  };
}
