/**
 * The policy document: the rules that were set at run time, as a value that every node has a copy of.
 *
 * The picture: a sheet on a notice board with one line a prefix, each with the time at which it was written.
 * Two sheets are laid side by side and the later line of each prefix is copied: in whatever order and however
 * often that is done, all sheets end up the same (a last-write-wins map; Shapiro et al. 2011). A line that is
 * crossed out stays, crossed out, or an old sheet would bring it back. So changes of different prefixes made at
 * the same time on both sides of a cut network both stay, and of one prefix the later.
 */

import type { ByteString } from '../base/bytes.ts';
import { ByteReader, ByteWriter, byteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { murmur3 } from '../base/murmur3.ts';
import { sealed, unsealedBody } from '../base/sealed-note.ts';
import type { PolicyDigest } from '../wire/policy-messages.ts';
import { readRules, writeRules } from '../wire/policy-messages.ts';
import type { Policy } from './policy.ts';

/** A line of the document; `policy` is undefined where it was unset. */
export interface StampedRule {
  readonly prefix: ByteString;
  readonly policy: Policy | undefined;
  /** A hybrid clock's reading, and the node that took the change. */
  readonly time: number;
  readonly logical: number;
  readonly node: ByteString;
}

/** Lines a document may have, unset ones included: a change that would add one more is refused. */
export const POLICY_RULES_MAX = 1000;

/** What several nodes add at the same time can make it longer; beyond this a line is not taken. */
export const POLICY_RULES_HELD_MAX = 2000;

const noteVersion = 1;

/** Greater for the one that stays. 0 for the same line. */
export function compareRules(a: StampedRule, b: StampedRule): number {
  const order = a.time - b.time || a.logical - b.logical;
  if (order !== 0) return order;
  if (a.node !== b.node) return a.node < b.node ? -1 : 1;
  // The same reading twice: a node that lost its disk and whose clock was set back. Any order will do that all keep.
  const [left, right] = [contentOf(a), contentOf(b)];
  return left === right ? 0 : left < right ? -1 : 1;
}

function contentOf(rule: StampedRule): ByteString {
  const writer = new ByteWriter(64);
  writeRules(writer, [rule]);
  return byteString(writer.view());
}

/** Immutable. */
export class PolicyDocument {
  static readonly EMPTY: PolicyDocument = new PolicyDocument(new Map());
  readonly #rules: ReadonlyMap<ByteString, StampedRule>;
  #digest: PolicyDigest | undefined = undefined;

  private constructor(rules: ReadonlyMap<ByteString, StampedRule>) {
    this.#rules = rules;
  }

  get size(): number {
    return this.#rules.size;
  }

  /** By prefix, upwards. */
  rules(): readonly StampedRule[] {
    return [...this.#rules.values()].sort((a, b) => (a.prefix < b.prefix ? -1 : 1));
  }

  get(prefix: ByteString): StampedRule | undefined {
    return this.#rules.get(prefix);
  }

  /** This document and those lines, each the later one; the same object if nothing of it is new. */
  with(rules: Iterable<StampedRule>): PolicyDocument {
    let merged: Map<ByteString, StampedRule> | undefined;
    for (const rule of rules) {
      const known = (merged ?? this.#rules).get(rule.prefix);
      if (
        known === undefined
          ? (merged ?? this.#rules).size >= POLICY_RULES_HELD_MAX
          : compareRules(rule, known) <= 0
      )
        continue;
      merged ??= new Map(this.#rules);
      merged.set(rule.prefix, rule);
    }
    return merged === undefined ? this : new PolicyDocument(merged);
  }

  /** Equal for equal documents, and as good as never for others. */
  get digest(): PolicyDigest {
    if (this.#digest === undefined) {
      const text = byteString(this.#encoded());
      this.#digest = { high: murmur3(text, 1), low: murmur3(text, 2) };
    }
    return this.#digest;
  }

  hasDigest({ high, low }: PolicyDigest): boolean {
    return this.digest.high === high && this.digest.low === low;
  }

  /** The sealed note to keep it in. */
  note(): Uint8Array {
    return sealed(this.#encoded());
  }

  #encoded(): Uint8Array {
    const writer = new ByteWriter(64 * (this.#rules.size + 1));
    writer.u8(noteVersion);
    writeRules(writer, this.rules());
    return writer.take();
  }

  /** Reads a note back; undefined if it is damaged. */
  static ofNote(note: Uint8Array): PolicyDocument | undefined {
    const body = unsealedBody(note);
    if (body === undefined) return undefined;
    const reader = new ByteReader(body);
    try {
      if (reader.u8() !== noteVersion) return undefined;
      return PolicyDocument.EMPTY.with(readRules(reader));
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return undefined;
    }
  }
}
