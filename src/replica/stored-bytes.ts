/**
 * The bytes that storage holds under the key of a row, as they are: for those who have to look at a row that may be
 * damaged. The picture: looking at a page through the glass, without taking its word for anything.
 */

import { CodedError } from '../base/errors.ts';
import type { Storage } from '../ports/storage.ts';
import type { RowKey } from '../rows/key.ts';
import { isRowIntact } from '../rows/row.ts';

/** The bytes held, unchecked; undefined for none, and when storage gives none for now. */
export function peekStored(storage: Storage, rowKey: RowKey): Uint8Array | undefined {
  try {
    return storage.get(rowKey);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return undefined;
  }
}

/** The bytes of a row that is damaged, none if the engine gives none; undefined if it is not damaged. */
export function damagedStored(storage: Storage, rowKey: RowKey): Uint8Array | undefined {
  try {
    const row = storage.get(rowKey);
    return row === undefined || isRowIntact(rowKey, row) ? undefined : row;
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return error.code === 'corrupt' ? new Uint8Array(0) : undefined;
  }
}
