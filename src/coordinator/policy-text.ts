/**
 * Policies as people write them: one grammar for the configuration, `dure policy`, HTTP and Redis commands.
 *
 * The picture: ordering a coffee. One may name a drink of the card (`PA/EC`), say what goes in (`R=2 W=2
 * STRICT`), or name the drink and what is to be different (`PA/EC SIBLINGS TTL=30s`). What was ordered is a
 * *wish*; what it comes to depends on N, the number of replicas, which is the cluster's.
 *
 * ```
 * policy := [PA/EL | PA/EC | PC/EL | PC/EC] word…          a preset, or both R and W, or both
 * word   := R=n | W=n | STRICT | SLOPPY | SIBLINGS | LWW | SIBLINGS-READ=NEWEST|ERROR | TTL=30s
 * ```
 *
 * The same as an object, in YAML and JSON: `{policy: PA/EC, r: 2, w: 2, quorum: strict, conflicts: siblings,
 * siblingsRead: newest, ttl: 30s}`. Letters may be small or capitals; no word may come twice.
 */

import { CodedError } from '../base/errors.ts';
import type { ConflictRule, Policy, PolicyPreset, SiblingsRead } from './policy.ts';
import { checkPolicy, POLICY_PRESETS, policyFor } from './policy.ts';

/** A policy as wished for, before N is known. */
export interface PolicyWish {
  readonly preset?: PolicyPreset;
  readonly r?: number;
  readonly w?: number;
  readonly strict?: boolean;
  readonly conflicts?: ConflictRule;
  readonly siblingsRead?: SiblingsRead;
  readonly ttlMs?: number;
}

/** What a policy looks like in JSON: can be read back by `policyFromValue`. */
export interface PolicyView {
  readonly r: number;
  readonly w: number;
  readonly quorum: 'strict' | 'sloppy';
  readonly conflicts: ConflictRule;
  readonly siblingsRead: SiblingsRead;
  /** `30s`, or `0`: values live for ever unless told otherwise. */
  readonly ttl: string;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The default expiry of a policy is at most so long, milliseconds: a hundred years. */
export const POLICY_TTL_MS_MAX: number = 36_500 * 86_400_000;

/** A policy in text is at most so long, characters. */
export const POLICY_TEXT_MAX = 512;

const presets = Object.keys(POLICY_PRESETS) as PolicyPreset[];
const replicasMax = 15;

const changes =
  'R=, W=, STRICT or SLOPPY, SIBLINGS or LWW, SIBLINGS-READ=NEWEST or SIBLINGS-READ=ERROR, TTL=30s';

/** What may be written, in words. */
export const POLICY_WORDS: string = `${presets.join(', ')}, or R=1 W=3 STRICT, followed by words that change it: ${changes}`;

/** The same for objects. */
export const POLICY_FIELDS: string = `${presets.join(', ')}, with words after it as in PA/EC SIBLINGS TTL=30s, or {r: 1, w: 3, quorum: strict | sloppy, conflicts: siblings | last-write-wins, siblingsRead: newest | error, ttl: 30s}`;

function invalid(message: string): CodedError {
  return new CodedError('invalid', 'none', message);
}

/**
 * Reads a policy from text.
 * @throws CodedError `invalid`
 */
export function policyFromText(text: string, n: number): Policy {
  return policyOfWish(wishFromText(text), n);
}

/**
 * Reads a policy from a JSON or YAML value: text, or an object.
 * @throws CodedError `invalid`
 */
export function policyFromValue(value: unknown, n: number): Policy {
  return policyOfWish(wishFromValue(value), n);
}

/**
 * What a wish comes to with N replicas.
 * @throws CodedError `invalid` for R or W beyond N
 */
export function policyOfWish(wish: PolicyWish, n: number): Policy {
  const { preset, ...numbers } = wish;
  const base: Partial<Policy> = preset === undefined ? { strict: false } : policyFor(preset, n);
  const policy = { ...base, ...numbers } as Policy;
  checkPolicy(policy, n);
  return policy;
}

/** @throws CodedError `invalid` */
export function wishFromText(text: string): PolicyWish {
  if (text.length > POLICY_TEXT_MAX) {
    throw invalid(`a policy has at most ${POLICY_TEXT_MAX} characters; found ${text.length}`);
  }
  const wish: Mutable<PolicyWish> = {};
  for (const word of text.split(/[\s,]+/)) {
    if (word === '') continue;
    takeWord(wish, word, word.toUpperCase());
  }
  return complete(wish, text);
}

function takeWord(wish: Mutable<PolicyWish>, word: string, capitals: string): void {
  const preset = presets.find((each) => each === capitals);
  const equals = capitals.indexOf('=');
  const name = equals < 0 ? capitals : capitals.slice(0, equals);
  const given = equals < 0 ? undefined : capitals.slice(equals + 1);
  if (preset !== undefined) {
    if (Object.keys(wish).length > 0) {
      throw invalid(`expected ${preset} before the words that change it, and only one preset`);
    }
    wish.preset = preset;
  } else if (given === undefined && (name === 'STRICT' || name === 'SLOPPY')) {
    once(wish, 'strict', word);
    wish.strict = name === 'STRICT';
  } else if (given === undefined && (name === 'SIBLINGS' || name === 'LWW')) {
    once(wish, 'conflicts', word);
    wish.conflicts = name === 'LWW' ? 'last-write-wins' : 'siblings';
  } else if (given !== undefined && (name === 'R' || name === 'W')) {
    const key = name === 'R' ? 'r' : 'w';
    once(wish, key, word);
    wish[key] = replicasOf(name, /^\d{1,9}$/.test(given) ? Number(given) : undefined, word);
  } else if (name === 'SIBLINGS-READ') {
    once(wish, 'siblingsRead', word);
    if (given !== 'NEWEST' && given !== 'ERROR') {
      throw invalid(`expected SIBLINGS-READ=NEWEST or SIBLINGS-READ=ERROR; found ${quoted(word)}`);
    }
    wish.siblingsRead = given === 'NEWEST' ? 'newest' : 'error';
  } else if (name === 'TTL') {
    once(wish, 'ttlMs', word);
    wish.ttlMs = ttlOf(given, word);
  } else {
    throw invalid(`expected ${POLICY_WORDS}; found ${quoted(word)}`);
  }
}

function once(wish: PolicyWish, key: keyof PolicyWish, word: string): void {
  if (wish[key] !== undefined) throw invalid(`${quoted(word)} says again what was said before it`);
}

const fieldNames = ['policy', 'r', 'w', 'quorum', 'conflicts', 'siblingsRead', 'ttl'] as const;

/** @throws CodedError `invalid` */
export function wishFromValue(value: unknown): PolicyWish {
  if (typeof value === 'string') return wishFromText(value);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(`expected ${POLICY_FIELDS}; found ${shown(value)}`);
  }
  const fields = value as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(fields).find((name) => !fieldNames.some((known) => known === name));
  if (unknown !== undefined) throw invalid(`unknown key ${quoted(unknown)}; expected ${POLICY_FIELDS}`);
  const { policy, r, w, quorum, conflicts, siblingsRead, ttl } = fields;
  const wish: Mutable<PolicyWish> = policy === undefined ? {} : { ...wishFromValue(policy) };
  if (r !== undefined) wish.r = replicasOf('r', r, shown(value));
  if (w !== undefined) wish.w = replicasOf('w', w, shown(value));
  if (quorum !== undefined) wish.strict = choice('quorum', quorum, ['strict', 'sloppy']) === 'strict';
  if (conflicts !== undefined) {
    wish.conflicts = choice('conflicts', conflicts, ['siblings', 'last-write-wins']);
  }
  if (siblingsRead !== undefined)
    wish.siblingsRead = choice('siblingsRead', siblingsRead, ['newest', 'error']);
  if (ttl !== undefined) wish.ttlMs = typeof ttl === 'number' ? ttlInRange(ttl, ttl) : ttlOf(ttl, ttl);
  return complete(wish, value);
}

function choice<T extends string>(name: string, value: unknown, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  if (found === undefined) throw invalid(`expected ${words.join(' or ')} for ${name}; found ${shown(value)}`);
  return found;
}

/** A wish must say R and W: nobody should get numbers that were neither named nor asked for. */
function complete(wish: PolicyWish, from: unknown): PolicyWish {
  if (wish.preset !== undefined || (wish.r !== undefined && wish.w !== undefined)) return wish;
  if (Object.keys(wish).length === 0) throw invalid(`expected ${POLICY_WORDS}; found ${shown(from)}`);
  const isText = typeof from === 'string';
  throw invalid(
    isText
      ? `expected a preset (${presets.join(', ')}), or both R= and W=, which ${quoted(from)} does not say`
      : `expected whole numbers from 1 for r and w, or a preset as policy; found ${shown(from)}`,
  );
}

function replicasOf(name: string, value: unknown, found: string): number {
  const isGood = typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= replicasMax;
  if (isGood) return value;
  if (name === name.toUpperCase()) {
    throw invalid(`expected a whole number from 1 to N for ${name}; found ${quoted(found)}`);
  }
  throw invalid(`expected whole numbers from 1 for r and w; found ${found}`);
}

const ttlUnits: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
];

/** Milliseconds of a whole number with its unit, such as `30s`; undefined for any other text. */
export function timeMs(text: string): number | undefined {
  const match = /^(\d{1,15})(ms|[smhd])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * ttlUnits.find(([name]) => name === match[2])![1];
}

/** A duration with its unit, or 0. */
function ttlOf(value: unknown, found: unknown): number {
  const text = typeof value === 'string' ? value.toLowerCase() : '';
  const ttlMs = /^0{1,15}$/.test(text) ? 0 : timeMs(text);
  if (ttlMs === undefined) {
    throw invalid(
      `expected a time with its unit, such as 500ms, 30s, 15m, 12h or 7d, or 0; found ${shown(found)}`,
    );
  }
  return ttlInRange(ttlMs, found);
}

function ttlInRange(ttlMs: number, found: unknown): number {
  if (Number.isInteger(ttlMs) && ttlMs >= 0 && ttlMs <= POLICY_TTL_MS_MAX) return ttlMs;
  throw invalid(`expected a time of at most 36500d, in whole milliseconds; found ${shown(found)}`);
}

function ttlWords(ttlMs: number): string {
  if (ttlMs === 0) return '0';
  const [name, ms] = ttlUnits.find(([, each]) => ttlMs % each === 0)!;
  return `${ttlMs / ms}${name}`;
}

const shownMax = 60;

function quoted(text: string): string {
  return `"${text.length > shownMax ? `${text.slice(0, shownMax)}…` : text}"`;
}

function shown(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'nothing';
  if (typeof value === 'string') return quoted(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : text;
}

/**
 * A policy as text, with a preset's name where one has its numbers with N replicas. `policyFromText` of it, with
 * the same N, gives an equal policy.
 */
export function policyText(policy: Policy, n: number): string {
  const { r, w, strict, conflicts, siblingsRead, ttlMs } = policy;
  const preset = presets.find((name) => {
    const named = policyFor(name, n);
    return named.r === r && named.w === w && named.strict === strict;
  });
  const words: string[] = [preset ?? `R=${r} W=${w} ${strict ? 'STRICT' : 'SLOPPY'}`];
  if (conflicts !== undefined) words.push(conflicts === 'siblings' ? 'SIBLINGS' : 'LWW');
  if (siblingsRead !== undefined) words.push(`SIBLINGS-READ=${siblingsRead.toUpperCase()}`);
  if (ttlMs !== undefined) words.push(`TTL=${ttlWords(ttlMs)}`);
  return words.join(' ');
}

/** A policy as JSON shows it, with nothing left out. */
export function policyView(policy: Policy): PolicyView {
  return {
    r: policy.r,
    w: policy.w,
    quorum: policy.strict ? 'strict' : 'sloppy',
    conflicts: policy.conflicts ?? 'last-write-wins',
    siblingsRead: policy.siblingsRead ?? 'newest',
    ttl: ttlWords(policy.ttlMs ?? 0),
  };
}
