/**
 * The policies in force at this node: the rules of the configuration, and over them those set at run time.
 *
 * The picture: a price list in a frame. Customers look at the sheet that hangs there (`PolicyTable`, which never
 * changes); a new list is written aside and hung up whole. Who has read a price has read it: a request goes by the
 * policy it began with.
 */

import type { ByteString } from '../base/bytes.ts';
import { murmur3 } from '../base/murmur3.ts';
import type { Policy, PolicyRule } from '../coordinator/policy.ts';
import { PolicyTable } from '../coordinator/policy.ts';
import { PolicyDocument } from '../coordinator/policy-document.ts';
import { policyText } from '../coordinator/policy-text.ts';
import type { PolicyDigest } from '../wire/policy-messages.ts';
import type { PolicyEntry } from './api.ts';
import type { PoliciesStatus } from './status.ts';

export class Policies {
  /** Those of the configuration. */
  readonly #configured: PolicyTable;
  /** In force. */
  #table: PolicyTable;
  #document: PolicyDocument = PolicyDocument.EMPTY;
  /** The W that a flush has to suit: the greatest of the default, and of the prefixes for which R+W>N. */
  flushW = 1;
  /** The least of the same: so few may have acknowledged a write that must not outlive the flush. */
  flushWLeast = 1;
  /** What requests that override part of a policy came to: by the override, then by the policy below it. */
  #overridden: WeakMap<Policy, WeakMap<Policy, Policy>> = new WeakMap();

  constructor(configured: PolicyTable) {
    this.#configured = configured;
    this.#table = configured;
    this.#hangUp(configured);
  }

  /** Of keys without a rule, and of what concerns no key. */
  get fallback(): Policy {
    return this.#table.fallback;
  }

  policyOf(key: ByteString): Policy {
    return this.#table.policyOf(key);
  }

  /**
   * The fewest replicas that a write to the key was acknowledged by, as far as policies say: those of the
   * configuration held before one was set at run time, and may again.
   */
  leastW(key: ByteString): number {
    return Math.min(this.#configured.policyOf(key).w, this.#table.policyOf(key).w);
  }

  /**
   * The policy of a request: what the override leaves open (conflicts, reads of siblings, expiry) is as the key's
   * own policy says, so that who asks for another quorum does not by accident write over siblings.
   */
  of(key: ByteString, override: Policy | undefined): Policy {
    const own = this.#table.policyOf(key);
    if (override === undefined) return own;
    const { conflicts, siblingsRead, ttlMs } = own;
    if (conflicts === undefined && siblingsRead === undefined && ttlMs === undefined) return override;
    let byOwn = this.#overridden.get(override);
    if (byOwn === undefined) {
      byOwn = new WeakMap();
      this.#overridden.set(override, byOwn);
    }
    let policy = byOwn.get(own);
    if (policy === undefined) {
      policy = { ...own, ...override };
      byOwn.set(own, policy);
    }
    return policy;
  }

  /** Hangs up what a document comes to; for requests that begin from now on. */
  use(document: PolicyDocument): void {
    this.#document = document;
    const rules = new Map<ByteString, PolicyRule>();
    for (const rule of this.#configured.rules) rules.set(rule.prefix, rule);
    for (const { prefix, policy } of document.rules()) {
      if (policy !== undefined) rules.set(prefix, { prefix, policy: this.#possible(policy) });
    }
    this.#hangUp(new PolicyTable(this.#configured.fallback, [...rules.values()], this.#configured.n));
  }

  #hangUp(table: PolicyTable): void {
    this.#table = table;
    const { fallback, rules, n } = table;
    this.flushW = fallback.w;
    this.flushWLeast = fallback.w;
    for (const { prefix, policy } of rules) {
      if (prefix === '' || policy.r + policy.w <= n) continue;
      this.flushW = Math.max(this.flushW, policy.w);
      this.flushWLeast = Math.min(this.flushWLeast, policy.w);
    }
  }

  /** There may be fewer replicas now than when it was set: then it asks for all of them. */
  #possible(policy: Policy): Policy {
    const { n } = this.#configured;
    if (policy.r <= n && policy.w <= n) return policy;
    return { ...policy, r: Math.min(policy.r, n), w: Math.min(policy.w, n) };
  }

  /** All in force, the default first, then by prefix. */
  list(): readonly PolicyEntry[] {
    const entries = new Map<ByteString, PolicyEntry>();
    const { fallback, rules } = this.#configured;
    entries.set('', { prefix: '', policy: fallback, origin: 'default', time: 0 });
    for (const { prefix, policy } of rules) {
      entries.set(prefix, { prefix, policy, origin: 'config', time: 0 });
    }
    for (const { prefix, policy, time } of this.#document.rules()) {
      if (policy === undefined) continue;
      entries.set(prefix, { prefix, policy: this.#possible(policy), origin: 'run-time', time });
    }
    return [...entries.values()].sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
  }

  /** How this node can be told from one that goes by others. For people: it takes some microseconds a policy. */
  status(): PoliciesStatus {
    const rules = this.#document.rules();
    const { n } = this.#configured;
    const words = this.list().map(
      ({ prefix, policy }) => `${prefix.length} ${prefix}${policyText(policy, n)}`,
    );
    const text = words.join('\n');
    return {
      atRunTime: rules.filter(({ policy }) => policy !== undefined).length,
      changedAt: rules.reduce((latest, { time }) => Math.max(latest, time), 0),
      fingerprint: hexOf(this.#document.digest),
      inForce: hexOf({ high: murmur3(text, 1), low: murmur3(text, 2) }),
    };
  }
}

function hexOf({ high, low }: PolicyDigest): string {
  return [high, low].map((half) => half.toString(16).padStart(8, '0')).join('');
}
