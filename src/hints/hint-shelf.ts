/**
 * The shelf that hints lie on: what the hint book asks of the replica, and how it is told. The picture: the neighbour's
 * own cupboard, lent out for parcels; the book knows these few doors of it and nothing else of the house.
 */

import type { ByteString } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import type { RowKey } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';

/** Told when what it waited for is durable, or why it is not. */
export interface HintWaiter {
  stored(error: CodedError | undefined): void;
}

/** Told what is held of a row. */
export interface HintReader {
  local(error: CodedError | undefined, stamp: Stamp, row: Row | undefined): void;
}

/** What hints need of the replica (`src/replica/`): its notes, its floor, and the rows it holds. */
export interface HintShelf {
  readonly notes: {
    get(key: ByteString): Uint8Array | undefined;
    isLaid(key: ByteString): boolean;
    pendingKeys(): Iterable<ByteString>;
    readonly areDurable: boolean;
    lay(
      key: ByteString,
      value: Uint8Array | undefined,
      waiter: HintWaiter | undefined,
    ): CodedError | undefined;
    whenDurable(key: ByteString, waiter: HintWaiter): void;
    onLost: ((lost: ReadonlyMap<ByteString, Uint8Array | undefined>) => void) | undefined;
  };
  note(key: ByteString, value: Uint8Array, waiter: HintWaiter): void;
  readonly isFloorDurable: boolean;
  isBelowFloor(row: Row): boolean;
  merge(rowKey: RowKey, row: Row, waiter: HintWaiter | undefined): void;
  answer(row: Row | undefined, out: HintReader): void;
  peek(rowKey: RowKey): Row | undefined;
}
