/**
 * The policies of the cluster as far as a client must know them: which keys are under a strict one. A write of
 * unknown outcome is not sent twice there, and the near cache has no notes of them.
 *
 * The picture: the list at the counter of what is sent by registered post. It is asked for with the table of slots
 * and as old as that; nodes that keep no such list, or do not show it, have nothing that is registered.
 */

import { utf8Text } from '../src/base/bytes.ts';
import { MapReply, type RespValue } from '../src/resp/value.ts';

interface Rule {
  readonly prefix: string;
  readonly isStrict: boolean;
}

/** More is not from a node of ours. */
const rulesMax = 65_536;

export class Policies {
  /** Longest first. */
  readonly #rules: readonly Rule[];
  readonly #hasStrict: boolean;

  constructor(rules: readonly Rule[]) {
    this.#rules = rules.toSorted((a, b) => b.prefix.length - a.prefix.length);
    this.#hasStrict = rules.some(({ isStrict }) => isStrict);
  }

  /** Whether the policy of a key counts its own replicas only. */
  isStrict(key: string): boolean {
    if (!this.#hasStrict) return false;
    return this.#rules.find(({ prefix }) => key.startsWith(prefix))?.isStrict === true;
  }
}

/** Reads the answer to `DURE.POLICY LIST`. What is not understood is not strict. */
export function readPolicies(reply: RespValue): Policies {
  if (!Array.isArray(reply) || reply.length > rulesMax) return new Policies([]);
  const rules: Rule[] = [];
  for (const entry of reply as readonly RespValue[]) {
    if (!(entry instanceof MapReply)) continue;
    const fields = new Map(entry.pairs.map(([name, value]) => [textOf(name), textOf(value)]));
    const prefix = fields.get('prefix');
    // `PC/EC`, or `R=1 W=3 STRICT`.
    if (prefix !== undefined)
      rules.push({ prefix, isStrict: /^PC\/|\bSTRICT\b/.test(fields.get('policy') ?? '') });
  }
  return new Policies(rules);
}

function textOf(value: RespValue): string {
  if (value instanceof Uint8Array) return utf8Text(value);
  return typeof value === 'string' ? value : '';
}
