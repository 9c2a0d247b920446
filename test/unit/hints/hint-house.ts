/** A book of hints on a real replica, on a storage that completes at once. */

import { HintBook } from '../../../src/hints/hint-book.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { Replica } from '../../../src/replica/replica.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { encodeRow, KIND_STRING, type Row } from '../../../src/rows/row.ts';
import { ManualStorage } from '../../support/manual-storage.ts';

export const HOUSE_TIME = 1_700_000_000_000;

export class HintHouse {
  readonly storage: ManualStorage;
  readonly replica: Replica;
  readonly book: HintBook;
  /** Codes of what was answered, in order; `ok` for a hint that is durable. */
  readonly answers: string[] = [];
  #counter = 0;

  /** Names of what was logged. */
  readonly events: string[] = [];

  constructor(
    bytesMax = 1_000_000,
    mutants: readonly string[] = [],
    storage: ManualStorage = new ManualStorage(true),
  ) {
    this.storage = storage;
    this.replica = new Replica({
      storage: this.storage,
      durability: 'always',
      log: LOG_SILENT,
      wake: () => {},
      noteOfCommit: () => undefined,
      mutants: new Set(mutants),
    });
    this.replica.start();
    this.book = new HintBook({
      storage: this.storage,
      shelf: this.replica,
      log: { write: (_level, event) => void this.events.push(event) },
      bytesMax,
      marginMs: 10_000,
      mutants: new Set(mutants),
    });
    this.book.open();
    this.book.load();
  }

  /** The next life, on what storage holds. */
  restart(mutants: readonly string[] = []): HintHouse {
    return new HintHouse(1_000_000, mutants, new ManualStorage(true, new Map(this.storage.entries)));
  }

  row(key: string, time: number, valueBytes = 10): Row {
    const stamp = { time, logical: 0, actor: 7, counter: ++this.#counter };
    return encodeRow(
      rowKeyOf(key),
      { kind: KIND_STRING, value: new Uint8Array(valueBytes), expireAt: 0 },
      stamp,
    );
  }

  accept(target: string, key: string, row: Row): void {
    this.book.accept(target, rowKeyOf(key), row, {
      stored: (error) => this.answers.push(error?.code ?? 'ok'),
    });
    this.replica.commit();
  }

  /** Raises the floor as far as it can be; what is announced when that is durable. */
  raise(wall: number): number {
    this.book.raiseFloor(wall);
    this.replica.commit();
    return this.book.floor;
  }

  /** Takes a row in as a replica. */
  hold(key: string, row: Row): void {
    this.replica.merge(rowKeyOf(key), row, undefined);
    this.replica.commit();
  }

  /** What is served of a key: its stamp time, 0 for none, or an error's code. */
  read(key: string): number | string {
    let read: number | string = 'nothing was told';
    this.book.read(rowKeyOf(key), [], {
      local: (error, stamp) => {
        read =
          error?.code ??
          new DataView(stamp.buffer, stamp.byteOffset).getUint32(0) * 65536 + ((stamp[4]! << 8) | stamp[5]!);
      },
    });
    return read;
  }
}
