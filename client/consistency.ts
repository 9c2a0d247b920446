/**
 * The PACELC dial as a client turns it: a named preset, numbers, or a preset with something changed. What is
 * said here takes the place of the policy of the key's prefix; a node refuses what its cluster cannot do
 * (W > N) and says why.
 */

import { invalid } from './errors.ts';
import { CONSISTENCY_NAMES, checkNames } from './names.ts';

export type ConsistencyPreset = 'PA/EL' | 'PA/EC' | 'PC/EL' | 'PC/EC';

/** `preset`, or both of `r` and `w`, and what else is to be said. */
export interface ConsistencyNumbers {
  readonly preset?: ConsistencyPreset | undefined;
  /** Replicas that answer a read, 1 to N. */
  readonly r?: number | undefined;
  /** Replicas that acknowledge a write, 1 to N. */
  readonly w?: number | undefined;
  /** `strict`: only the replicas of the key count; `sloppy`: others may stand in for them. */
  readonly quorum?: 'strict' | 'sloppy' | undefined;
  /** What becomes of concurrent writes. */
  readonly conflicts?: 'siblings' | 'last-write-wins' | undefined;
}

export type Consistency = ConsistencyPreset | ConsistencyNumbers;

const presets: readonly string[] = ['PA/EL', 'PA/EC', 'PC/EL', 'PC/EC'];
/** N is never greater. */
const replicasMax = 15;

/**
 * The words after `DURE.CONSISTENCY` or `DURE.WITH`.
 * @throws DureError `invalid`
 */
export function consistencyWords(consistency: Consistency): readonly string[] {
  const { preset, r, w, quorum, conflicts } =
    typeof consistency === 'string' ? { preset: consistency } : (consistency as ConsistencyNumbers);
  if (typeof consistency !== 'string') checkNames(consistency, CONSISTENCY_NAMES);
  const words: string[] = [];
  if (preset !== undefined) {
    if (!presets.includes(preset)) throw invalid(`consistency: a preset is one of ${presets.join(', ')}`);
    words.push(preset);
  } else if (r === undefined || w === undefined) {
    throw invalid(`consistency: give one of ${presets.join(', ')}, or both r and w`);
  }
  if (r !== undefined) words.push(`R=${replicas('r', r)}`);
  if (w !== undefined) words.push(`W=${replicas('w', w)}`);
  if (quorum !== undefined) words.push(wordOf('quorum', quorum, { strict: 'STRICT', sloppy: 'SLOPPY' }));
  if (conflicts !== undefined) {
    words.push(wordOf('conflicts', conflicts, { siblings: 'SIBLINGS', 'last-write-wins': 'LWW' }));
  }
  return words;
}

/** Whether only the replicas of a key count, so that with R + W > N its reads and writes have one order. */
export function isStrict(consistency: Consistency | undefined): boolean {
  const { preset, quorum } =
    typeof consistency === 'string' ? { preset: consistency, quorum: undefined } : (consistency ?? {});
  return quorum === undefined ? preset?.startsWith('PC') === true : quorum === 'strict';
}

function wordOf(name: string, value: string, words: Readonly<Record<string, string>>): string {
  if (Object.hasOwn(words, value)) return words[value]!;
  throw invalid(`consistency: ${name} is one of ${Object.keys(words).join(', ')}`);
}

function replicas(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= replicasMax) return value;
  throw invalid(`consistency: ${name} is a whole number from 1 to N`);
}
