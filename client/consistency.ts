/**
 * The PACELC dial as a client turns it: a named preset, or numbers. For the meaning of each see
 * docs/consistency.md; a node refuses what its cluster cannot do (W > N) and says why.
 */

import { invalid } from './errors.ts';

export type ConsistencyPreset = 'PA/EL' | 'PA/EC' | 'PC/EL' | 'PC/EC';

/** What is left out stays as the policy of the key's prefix has it. */
export interface ConsistencyNumbers {
  /** Replicas that answer a read. */
  readonly r?: number;
  /** Replicas that acknowledge a write. */
  readonly w?: number;
  /** Whether other nodes may stand in for replicas that are away. */
  readonly sloppy?: boolean;
}

export type Consistency = ConsistencyPreset | ConsistencyNumbers;

const presets: readonly string[] = ['PA/EL', 'PA/EC', 'PC/EL', 'PC/EC'];

/**
 * The words after `DURE.CONSISTENCY` or `DURE.WITH`.
 * @throws DureError `invalid`
 */
export function consistencyWords(consistency: Consistency): readonly string[] {
  if (typeof consistency === 'string') {
    if (!presets.includes(consistency)) throw invalid(`consistency is one of ${presets.join(', ')}`);
    return [consistency];
  }
  const words: string[] = [];
  const { r, w, sloppy } = consistency;
  for (const [name, value] of [
    ['R', r],
    ['W', w],
  ] as const) {
    if (value === undefined) continue;
    if (!Number.isInteger(value) || value < 1 || value > 255)
      throw invalid(`consistency: ${name} is from 1 to 255`);
    words.push(name, String(value));
  }
  if (sloppy !== undefined) words.push(sloppy ? 'SLOPPY' : 'STRICT');
  if (words.length === 0) throw invalid('consistency says nothing: give r, w or sloppy');
  return words;
}
