/**
 * Policies: where a key prefix stands between availability, latency and consistency (PACELC, Abadi
 * 2012). A policy is three numbers and a word; the presets are only names for them.
 */

import type { ByteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';

/** What becomes of concurrent writes: the greatest stamp wins, or all are kept side by side. */
export type ConflictRule = 'last-write-wins' | 'siblings';

/** What a read that can show one value only answers for a key with several siblings. */
export type SiblingsRead = 'newest' | 'error';

/** How a request's quorum is counted, and what becomes of concurrent writes. */
export interface Policy {
  /** Replicas whose answer a read waits for, 1 to N. */
  readonly r: number;
  /** Replicas whose durable acknowledgement a write waits for, 1 to N. */
  readonly w: number;
  /**
   * Strict: only the key's own replicas count, and with R+W>N the key is a linearizable register
   * (reads write back before they answer, writes first learn the greatest stamp: Attiya, Bar-Noy and
   * Dolev 1995). Not strict: what is reachable answers.
   */
  readonly strict: boolean;
  /** `last-write-wins` if left out. */
  readonly conflicts?: ConflictRule;
  /** `newest` if left out. Means nothing under `last-write-wins`. */
  readonly siblingsRead?: SiblingsRead;
  /** A value written without an expiry of its own lives so long, milliseconds; for ever if left out or 0. */
  readonly ttlMs?: number;
}

export type PolicyPreset = 'PA/EL' | 'PA/EC' | 'PC/EL' | 'PC/EC';

/** The presets of docs/guarantees.md, for N = 3. */
export const POLICY_PRESETS: Readonly<Record<PolicyPreset, Policy>> = {
  'PA/EL': { r: 1, w: 1, strict: false },
  'PA/EC': { r: 2, w: 2, strict: false },
  'PC/EL': { r: 1, w: 2, strict: true },
  'PC/EC': { r: 2, w: 2, strict: true },
};

/** A policy as it applies with N replicas: a preset asks for a majority of 3; fewer nodes cap it. */
export function policyFor(preset: PolicyPreset, n: number): Policy {
  const policy = POLICY_PRESETS[preset];
  const majority = Math.floor(n / 2) + 1;
  return { r: policy.r === 1 ? 1 : majority, w: policy.w === 1 ? 1 : majority, strict: policy.strict };
}

/** Fails with `invalid` if R or W lie outside 1 to N. */
export function checkPolicy(policy: Policy, n: number): void {
  for (const [name, value] of [
    ['R', policy.r],
    ['W', policy.w],
  ] as const) {
    if (!Number.isInteger(value) || value < 1 || value > n) {
      throw new CodedError(
        'invalid',
        'none',
        `${name}=${value} is impossible with N=${n}: it must lie in 1 to ${n}`,
      );
    }
  }
}

/**
 * What an R or W asks of a list of owners: all of them where the list is shorter than N, because there are few
 * members. If R+W>N then what is read and what was written meet in such a list too.
 */
export function quorumOf(count: number, listLength: number): number {
  return Math.min(count, listLength);
}

/**
 * Owners of a list that must hold the winner before a linearizable read answers. Later reads ask R: they meet it for
 * sure if all but R-1 hold it; and what was read must bear the loss of as many disks as what was acknowledged.
 */
export function holdersNeeded({ r, w }: Policy, listLength: number): number {
  return Math.max(listLength - quorumOf(r, listLength) + 1, quorumOf(w, listLength));
}

/**
 * Whether reads and writes of this policy are linearizable a key.
 * @param n how long the list of owners is: at most N
 */
export function isLinearizable(policy: Policy, n: number): boolean {
  return policy.strict && policy.r + policy.w > n;
}

/** A prefix and its policy. The empty prefix is the default. */
export interface PolicyRule {
  readonly prefix: ByteString;
  readonly policy: Policy;
}

/** With more rules than this they are looked up by their lengths: one look a length, not one a rule. */
const rulesScannedMax = 12;

/** Finds the policy of a key by its longest matching prefix. Immutable. */
export class PolicyTable {
  readonly fallback: Policy;
  /** As they were given, with N. */
  readonly rules: readonly PolicyRule[];
  readonly n: number;
  /** Longest first. */
  readonly #rules: readonly PolicyRule[];
  /** The lengths of the prefixes, longest first, and the policies by prefix, where there are many rules. */
  readonly #lengths: readonly number[];
  readonly #byPrefix: ReadonlyMap<ByteString, Policy>;

  /** @param rules in any order; a rule with the empty prefix replaces `fallback`. */
  constructor(fallback: Policy, rules: readonly PolicyRule[], n: number) {
    this.rules = rules;
    this.n = n;
    for (const rule of rules) checkPolicy(rule.policy, n);
    this.fallback = rules.find((rule) => rule.prefix === '')?.policy ?? fallback;
    checkPolicy(this.fallback, n);
    this.#rules = rules
      .filter((rule) => rule.prefix !== '')
      .sort((a, b) => b.prefix.length - a.prefix.length);
    const isMany = this.#rules.length > rulesScannedMax;
    this.#lengths = isMany ? [...new Set(this.#rules.map(({ prefix }) => prefix.length))] : [];
    this.#byPrefix = new Map(isMany ? this.#rules.map(({ prefix, policy }) => [prefix, policy]) : []);
  }

  policyOf(key: ByteString): Policy {
    const rules = this.#rules;
    if (rules.length === 0) return this.fallback;
    if (rules.length > rulesScannedMax) return this.#lookUp(key);
    for (const rule of rules) if (key.startsWith(rule.prefix)) return rule.policy;
    return this.fallback;
  }

  #lookUp(key: ByteString): Policy {
    for (const length of this.#lengths) {
      if (length > key.length) continue;
      const policy = this.#byPrefix.get(key.slice(0, length));
      if (policy !== undefined) return policy;
    }
    return this.fallback;
  }
}
