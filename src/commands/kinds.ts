/**
 * Kinds: the names that Redis has for what a row holds.
 */

import { KIND_STRING } from '../rows/row.ts';

const names: ReadonlyMap<number, string> = new Map([[KIND_STRING, 'string']]);

/** As TYPE answers. A kind that a newer node wrote is `unknown`. */
export function kindName(kind: number): string {
  return names.get(kind) ?? 'unknown';
}
