/**
 * The last steps of a comparison, seen from the asking side: the entries of differing buckets, and then
 * the rows, each in the direction it is needed. See `session.ts`, of which this is a part.
 *
 * Rows that are stamped at or before the greater of two horizons, and that only the side with the smaller
 * one holds, are not sent: they were deleted and collected on the other side, and are dropped here too.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import { RowHash } from '../merkle/row-hash.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';
import { compareStamps, rowStamp, stampTime } from '../rows/row.ts';
import { isMade } from '../rows/siblings.ts';
import {
  REPAIR_ENTRIES,
  REPAIR_FETCH,
  REPAIR_PUSH,
  type RepairHead,
  writeShort,
} from '../wire/repair-messages.ts';
import type { BucketAnswer, BucketPart, FetchAll, Version } from './codec.ts';
import {
  BUCKETS_MAX,
  ENTRIES_MAX,
  horizonMark,
  nonsense,
  PARTS_LOG_MAX,
  ROWS_BYTES_MAX,
  readBucketAnswer,
  readRow,
  versionOf,
  writeBucketPart,
  writeCount,
  writeFetchAll,
  writeRow,
  writeVersion,
} from './codec.ts';
import type { PartitionOutcome, SessionOptions } from './outcome.ts';
import type { Need } from './ports.ts';
import { ascending, isInPart, LEAF_COUNT, partitionOfLeaf, type Shortening } from './tree.ts';

/** Short key hashes asked for in one FETCH. */
const fetchKeysMax = 2048;
/** A bucket that is too full is compared in so many parts (as a power of two), and each again if need be. */
const partsStep = 2;

export interface ExchangeOptions {
  readonly session: SessionOptions;
  readonly short: Shortening;
  head(): RepairHead;
  need(): Need;
  outcomeOf(leaf: number): PartitionOutcome;
  /** The step is over; on to the next, or out. */
  next(error: CodedError | undefined): void;
}

interface Entry {
  readonly key: number;
  readonly version: Version;
  readonly rowKey: RowKey;
  readonly stamp: Stamp;
}

/** A bucket, or a part of one, as this side holds it. */
interface OwnBucket {
  readonly item: BucketPart;
  readonly entries: Map<number, Entry>;
  /** Short hashes of keys to be left alone: damaged rows, and two keys with one short hash. */
  readonly skipped: Set<number>;
}

export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #hash = new RowHash();
  #buckets: BucketPart[] = [];
  /** Rows the peer lacks or has older. */
  #pushes: RowKey[] = [];
  /** Short key hashes of rows we lack or have older, by leaf. */
  #fetches: Map<number, Set<number>> = new Map();
  /** We hold nothing of a partition: its rows come in bulk, behind this key. */
  #all: FetchAll | undefined = undefined;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  get hasRows(): boolean {
    return this.#pushes.length > 0 || this.#fetches.size > 0 || this.#all !== undefined;
  }

  /** Fetches all rows of a partition: whatever is held here, it has to be compared afterwards. */
  addAll(partition: number): void {
    this.#all = { partition, after: '' };
  }

  get hasBuckets(): boolean {
    return this.#buckets.length > 0;
  }

  addBucket(leaf: number): void {
    this.#buckets.push({ leaf, partsLog: 0, part: 0 });
  }

  #call(type: number, write: (writer: ByteWriter) => void, read: (reader: ByteReader) => void): void {
    const { session, next } = this.#options;
    session.call(type, this.#options.head(), write, (error, reader) => {
      if (error !== undefined || reader === undefined) next(error ?? nonsense('nothing'));
      else read(reader);
    });
  }

  // Entries.

  bucketsStep(): void {
    this.#collect(this.#buckets.splice(0, BUCKETS_MAX));
  }

  /** Reads our own entries of some buckets; if they are too many, of fewer buckets, or of parts of one. */
  #collect(items: readonly BucketPart[]): void {
    const { session, short, next } = this.#options;
    const owns: OwnBucket[] = items.map((item) => ({ item, entries: new Map(), skipped: new Set() }));
    const byLeaf = new Map<number, OwnBucket[]>();
    for (const own of owns) byLeaf.set(own.item.leaf, [...(byLeaf.get(own.item.leaf) ?? []), own]);
    let count = 0;
    session.local.collect(
      ascending(byLeaf.keys()),
      this.#options.need(),
      (leaf, hash, rowKey, row) => {
        const full = short.keyFull(hash);
        const own = byLeaf.get(leaf)!.find(({ item }) => isInPart(full, item.partsLog, item.part));
        if (own === undefined || ++count > ENTRIES_MAX) return;
        const key = short.key(full);
        if (row === undefined || own.entries.has(key)) this.#skip(own, key, row === undefined);
        else if (!own.skipped.has(key)) {
          own.entries.set(key, {
            key,
            version: versionOf(hash, short),
            rowKey,
            stamp: rowStamp(row).slice(),
          });
        }
      },
      (error) => {
        if (error !== undefined) next(error);
        else if (count <= ENTRIES_MAX) this.#askEntries(owns);
        else if (items.length > 1) {
          const half = items.length >>> 1;
          this.#buckets.unshift(...items.slice(half));
          this.#collect(items.slice(0, half));
        } else {
          this.#split(items[0]!);
          next(undefined);
        }
      },
    );
  }

  #skip(own: OwnBucket, key: number, damaged: boolean): void {
    own.entries.delete(key);
    own.skipped.add(key);
    const outcome = this.#options.outcomeOf(own.item.leaf);
    if (damaged) outcome.damaged++;
    else outcome.unresolved++;
    outcome.oldestDifferenceTime = 0;
  }

  #split(item: BucketPart): void {
    const { leaf, part } = item;
    const partsLog = item.partsLog + partsStep;
    if (partsLog > PARTS_LOG_MAX) {
      const outcome = this.#options.outcomeOf(leaf);
      outcome.unresolved++;
      outcome.oldestDifferenceTime = 0;
      return;
    }
    for (let i = 0; i < 1 << partsStep; i++) {
      this.#buckets.unshift({ leaf, partsLog, part: (part << partsStep) | i });
    }
  }

  #askEntries(owns: readonly OwnBucket[]): void {
    const { session, short } = this.#options;
    const lists = owns.map((own) => [...own.entries.values()]);
    this.#call(
      REPAIR_ENTRIES,
      (writer) => {
        if (session.wide) {
          // Who only gives need not hold all there is: nothing was deleted because it is not in our list.
          const { horizonOurs } = this.#options.outcomeOf(owns[0]!.item.leaf);
          writer.u48(session.gives === true ? 0 : horizonOurs);
        }
        writer.u16(owns.length);
        owns.forEach(({ item, skipped }, i) => {
          writeBucketPart(writer, item, skipped.size > 0);
          writeCount(writer, lists[i]!.length);
          for (const { key, version } of lists[i]!) {
            writeShort(writer, key, short.keyBytes);
            writeVersion(writer, short, version);
          }
          if (skipped.size === 0) return;
          writeCount(writer, skipped.size);
          for (const key of skipped) writeShort(writer, key, short.keyBytes);
        });
      },
      (reader) => {
        owns.forEach(({ item }, i) => {
          this.#file(item, lists[i]!, readBucketAnswer(reader, short, lists[i]!.length));
        });
        this.#options.next(undefined);
      },
    );
  }

  /** Files what the peer said about a bucket: which rows go which way. */
  #file(item: BucketPart, entries: readonly Entry[], answer: BucketAnswer): void {
    const { leaf } = item;
    if (answer.split) {
      this.#split(item);
      return;
    }
    const outcome = this.#options.outcomeOf(leaf);
    const drops: { key: RowKey; stamp: Stamp }[] = [];
    for (const index of answer.wants) {
      const { rowKey, stamp } = entries[index]!;
      const time = stampTime(stamp);
      const settledThere = outcome.horizonTheirs > outcome.horizonOurs && time <= outcome.horizonTheirs;
      if (settledThere) drops.push({ key: rowKey, stamp });
      else this.#push(outcome, rowKey, time);
    }
    for (const { index, stamp } of answer.others) {
      const own = entries[index]!;
      const order = compareStamps(own.stamp, stamp);
      if (isMade(own.stamp) || isMade(stamp)) {
        // Siblings: each side may know what the other does not. Theirs first, then ours as it is then.
        this.#fetch(outcome, leaf, own.key, stampTime(stamp));
        this.#push(outcome, own.rowKey, stampTime(own.stamp));
      } else if (order > 0) this.#push(outcome, own.rowKey, stampTime(own.stamp));
      else if (order < 0) this.#fetch(outcome, leaf, own.key, stampTime(stamp));
    }
    for (const { key, time } of answer.only) this.#fetch(outcome, leaf, key, time);
    const lost = answer.dropped + answer.unresolved + answer.damaged;
    // Who gives away what it holds waits until their copy was mended: perhaps only ours is whole.
    if (this.#options.session.gives === true) outcome.unresolved += answer.damaged;
    else outcome.damaged += answer.damaged;
    outcome.rowsDropped += answer.dropped;
    outcome.unresolved += answer.unresolved;
    outcome.differing += lost;
    if (lost > 0) outcome.oldestDifferenceTime = 0;
    this.#drop(outcome, drops);
  }

  #push(outcome: PartitionOutcome, rowKey: RowKey, time: number): void {
    outcome.differing++;
    outcome.oldestDifferenceTime = Math.min(outcome.oldestDifferenceTime, time);
    outcome.oldestLackingTime = Math.min(outcome.oldestLackingTime, time);
    if (!this.#options.session.mutants.skipsOlder) this.#pushes.push(rowKey);
  }

  #fetch(outcome: PartitionOutcome, leaf: number, key: number, time: number): void {
    outcome.differing++;
    outcome.oldestDifferenceTime = Math.min(outcome.oldestDifferenceTime, time);
    if (this.#options.session.gives === true) return;
    const keys = this.#fetches.get(leaf) ?? new Set<number>();
    this.#fetches.set(leaf, keys);
    keys.add(key);
  }

  #drop(outcome: PartitionOutcome, drops: readonly { key: RowKey; stamp: Stamp }[]): void {
    const { session } = this.#options;
    if (drops.length === 0 || session.mutants.horizonNotCaughtUp) return;
    const dropped = session.local.drop(drops);
    outcome.differing += drops.length;
    outcome.rowsDropped += dropped;
    outcome.unresolved += drops.length - dropped;
    outcome.oldestDifferenceTime = 0;
  }

  // Rows.

  rowsStep(): void {
    if (this.#all !== undefined) this.#allStep(this.#all);
    else if (this.#fetches.size > 0) this.#fetchStep();
    else this.#pushStep();
  }

  #allStep(all: FetchAll): void {
    this.#options.session.local.whenMoveAllowed(() =>
      this.#call(
        REPAIR_FETCH,
        (writer) => writeFetchAll(writer, all),
        (reader) => this.#allFetched(all, reader),
      ),
    );
  }

  #allFetched({ partition }: FetchAll, reader: ByteReader): void {
    const { local, peer } = this.#options.session;
    const outcome = this.#options.outcomeOf((partition * LEAF_COUNT) / local.partitionCount);
    const more = reader.u8() === 1;
    const rows: { rowKey: RowKey; row: Row | undefined }[] = [];
    for (let left = reader.u16(); left > 0; left--) rows.push(readRow(reader));
    let bytes = 0;
    for (const { rowKey, row } of rows) {
      bytes += rowKey.length + (row?.length ?? 0);
      if (partitionOfLeaf(rowKeySlot(rowKey) * 16, local.partitionCount) === partition) continue;
      this.#options.next(nonsense('a row of another partition'));
      return;
    }
    local.moved(bytes);
    outcome.rowBytesTaken += bytes;
    const last = rows.at(-1);
    this.#all = more && last !== undefined ? { partition, after: last.rowKey } : undefined;
    let left = 1;
    const stored = (taken: number): void => {
      outcome.rowsTaken += taken;
      if (--left === 0) this.#options.next(undefined);
    };
    const source = outcome.horizonTheirs >= local.horizonOf(partition) ? 'sync' : 'request';
    for (const { rowKey, row } of rows) {
      if (row === undefined) continue;
      left++;
      // What is not taken is found by the comparison that follows.
      local.take(peer, rowKey, row, source, (error) => stored(error === undefined ? 1 : 0));
    }
    stored(0);
  }

  #fetchStep(): void {
    const { session, short } = this.#options;
    const asked: [number, Set<number>][] = [];
    let count = 0;
    for (const [leaf, keys] of this.#fetches) {
      if (count > 0 && (count + keys.size > fetchKeysMax || asked.length === BUCKETS_MAX)) break;
      asked.push([leaf, keys]);
      count += keys.size;
    }
    for (const [leaf] of asked) this.#fetches.delete(leaf);
    const ask = (): void =>
      this.#call(
        REPAIR_FETCH,
        (writer) => {
          writer.u16(asked.length);
          for (const [leaf, keys] of asked) {
            writeBucketPart(writer, { leaf, partsLog: 0, part: 0 }, false);
            writeCount(writer, keys.size);
            for (const key of keys) writeShort(writer, key, short.keyBytes);
          }
        },
        (reader) => this.#fetched(asked, reader),
      );
    if (session.moves === true) session.local.whenMoveAllowed(ask);
    else session.local.whenAllowed(session.urgent, 0, ask);
  }

  #fetched(asked: readonly [number, Set<number>][], reader: ByteReader): void {
    const { session, short, next } = this.#options;
    const { local, peer } = session;
    const more = reader.u8() === 1;
    const count = reader.u16();
    const rows: { rowKey: RowKey; row: Row | undefined }[] = [];
    for (let left = count; left > 0; left--) rows.push(readRow(reader));
    if (session.moves === true) {
      local.moved(rows.reduce((sum, { rowKey, row }) => sum + rowKey.length + (row?.length ?? 0), 0));
    }
    const keysOf = new Map(asked);
    let met = false;
    let left = 1;
    const stored = (outcome: PartitionOutcome | undefined, error: CodedError | undefined): void => {
      if (outcome !== undefined && error === undefined) outcome.rowsTaken++;
      else if (outcome !== undefined) outcome.unresolved++;
      if (--left > 0) return;
      // What did not fit is asked for again; what is not there any more is not.
      if (more && met) for (const [leaf, keys] of asked) if (keys.size > 0) this.#fetches.set(leaf, keys);
      next(undefined);
    };
    for (const { rowKey, row } of rows) {
      this.#hash.key(rowKey);
      const leaf = rowKeySlot(rowKey) * 16 + this.#hash.bucket;
      if (keysOf.get(leaf)?.delete(short.key(short.keyFull(this.#hash)))) met = true;
      if (!keysOf.has(leaf)) {
        next(nonsense('a row that was not asked for'));
        return;
      }
      const outcome = this.#options.outcomeOf(leaf);
      outcome.rowBytesTaken += rowKey.length + (row?.length ?? 0);
      if (row === undefined) {
        outcome.unresolved++;
        continue;
      }
      left++;
      const source = outcome.horizonTheirs >= local.horizonOf(outcome.partition) ? 'sync' : 'request';
      local.take(peer, rowKey, row, source, (error) => stored(outcome, error));
    }
    stored(undefined, undefined);
  }

  #pushStep(): void {
    const { session } = this.#options;
    const groups = new Map<number, { rowKey: RowKey; row: Row }[]>();
    let bytes = 0;
    let taken = 0;
    for (const rowKey of this.#pushes) {
      // As it is now: it may be newer than when it was compared. A damaged row is never sent.
      const row = session.local.rowOf(rowKey);
      const size = rowKey.length + (row?.length ?? 0);
      if (bytes > 0 && bytes + size > ROWS_BYTES_MAX) break;
      taken++;
      if (row === undefined) continue;
      bytes += size;
      const partition = partitionOfLeaf(rowKeySlot(rowKey) * 16, session.local.partitionCount);
      const group = groups.get(partition) ?? [];
      groups.set(partition, group);
      group.push({ rowKey, row: row.slice() });
    }
    this.#pushes = this.#pushes.slice(taken);
    if (groups.size === 0) {
      this.#options.next(undefined);
      return;
    }
    session.local.whenAllowed(session.urgent, bytes, () => this.#send(groups));
  }

  #send(groups: ReadonlyMap<number, readonly { rowKey: RowKey; row: Row }[]>): void {
    const { session } = this.#options;
    const { local } = session;
    this.#call(
      REPAIR_PUSH,
      (writer) => {
        writer.u8(0);
        writeCount(writer, groups.size);
        for (const [partition, rows] of groups) {
          const horizon = local.horizonOf(partition);
          writer.u16(partition);
          if (session.wide) writer.u48(horizon);
          else writer.u16(horizonMark(horizon));
          writeCount(writer, rows.length);
          for (const { rowKey, row } of rows) writeRow(writer, rowKey, row);
        }
      },
      (reader) => {
        reader.u16();
        const refused = reader.u16();
        reader.u8();
        for (const [partition, rows] of groups) this.#pushed(partition, rows, refused);
        this.#options.next(undefined);
      },
    );
  }

  #pushed(partition: number, rows: readonly { rowKey: RowKey; row: Row }[], refused: number): void {
    const outcome = this.#options.outcomeOf(rowKeySlot(rows[0]!.rowKey) * 16);
    outcome.rowsSent += rows.length;
    for (const { rowKey, row } of rows) outcome.rowBytesSent += rowKey.length + row.length;
    // Which of them were refused is not told: none of these partitions is done.
    if (refused > 0 && outcome.partition === partition) outcome.unresolved += refused;
  }

  /** Tells the peer that it was compared wholly with us and may take over our horizon. */
  settle(partition: number, horizon: number, token: number, done: (settled: boolean) => void): void {
    this.#call(
      REPAIR_PUSH,
      (writer) => {
        writer.u8(1);
        writer.u16(partition);
        writer.u48(horizon);
        writer.u32(token);
        writeCount(writer, 0);
      },
      (reader) => {
        reader.u16();
        reader.u16();
        done(reader.u8() === 1);
      },
    );
  }
}
