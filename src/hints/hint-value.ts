/** What lies under the key of a hint: a row, or for a reference the time of the first row that was missed. */

import { readU48, writeU48 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { ROW_HEADER_BYTES } from '../rows/row.ts';

export const REFERENCE_BYTES = 6;

/** Whether a hint holds the row itself. */
export function isFullHint(value: Uint8Array): boolean {
  return value.length >= ROW_HEADER_BYTES;
}

/** @param time of the row's stamp, milliseconds */
export function referenceOf(time: number): Uint8Array {
  const value = new Uint8Array(REFERENCE_BYTES);
  writeU48(value, 0, time);
  return value;
}

/** Milliseconds; 0 for a damaged one. */
export function referenceTime(value: Uint8Array): number {
  return value.length >= REFERENCE_BYTES ? readU48(value, 0) : 0;
}

export function unreadableError(outcome: 'fail' | 'none'): CodedError {
  return new CodedError('corrupt', outcome, 'a hint fails its checksum on this node');
}
