/**
 * The hint book counts exactly, whatever happens: rows taken in and handed over, batches that storage
 * refuses, and a book read back page by page while it changes. The model is plain: what lies in storage,
 * covered by what lies on the trays.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CodedError } from '../../src/base/errors.ts';
import { HintBook } from '../../src/hints/hint-book.ts';
import { HINTS_FIRST, hintKey, hintTarget } from '../../src/hints/hint-keys.ts';
import { LOG_SILENT } from '../../src/ports/log.ts';
import type { RangeQuery, StorageEntry } from '../../src/ports/storage.ts';
import { Replica } from '../../src/replica/replica.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { encodeRow, KIND_STRING, ROW_HEADER_BYTES } from '../../src/rows/row.ts';
import { ManualStorage } from '../support/manual-storage.ts';

const targets = ['x', 'y', 'yy'];
const bytesMax = 500;
const rowKeys = Array.from({ length: 12 }, (_, i) => rowKeyOf(`key-${i}`));

type RangeDone = (error: CodedError | undefined, entries: readonly StorageEntry[]) => void;

/** Answers a range when told to, with what had been handed in when it was asked. */
class SlowStorage extends ManualStorage {
  readonly asked: (() => void)[] = [];

  override range(query: RangeQuery, done: RangeDone): void {
    const seen = new ManualStorage(true, this.entries);
    for (const { batch } of this.pending) seen.write(batch, 'always', () => {});
    seen.range(query, (error, entries) => this.asked.push(() => done(error, entries)));
  }
}

class House {
  storage = new SlowStorage(false);
  replica!: Replica;
  book!: HintBook;
  time = 1_700_000_000_000;

  constructor() {
    this.start();
  }

  start(): void {
    this.replica = new Replica({
      storage: this.storage,
      durability: 'always',
      log: LOG_SILENT,
      wake: () => {},
      noteOfCommit: () => undefined,
      mutants: new Set(),
    });
    this.replica.start();
    this.book = new HintBook({
      storage: this.storage,
      shelf: this.replica,
      log: LOG_SILENT,
      bytesMax,
      marginMs: 1000,
      pageRows: 3,
      mutants: new Set(),
    });
    this.book.load();
  }

  /** What each target's hints are, by storage and the trays over it. */
  model(): Map<string, { rows: number; bytes: number; full: number }> {
    const sums = new Map(targets.map((id) => [id, { rows: 0, bytes: 0, full: 0 }]));
    for (const id of targets) {
      for (const rowKey of rowKeys) {
        const key = hintKey(id, rowKey);
        const value = this.replica.notes.get(key);
        if (value === undefined) continue;
        assert.equal(hintTarget(key), id);
        const sum = sums.get(id)!;
        sum.rows++;
        sum.bytes += key.length + value.length;
        if (value.length >= ROW_HEADER_BYTES) sum.full++;
      }
    }
    return sums;
  }

  check(): void {
    if (this.book.isLoading) return;
    for (const [id, sum] of this.model()) {
      const target = this.book.target(id);
      const counted = { rows: target?.rows ?? 0, bytes: target?.bytes ?? 0, full: target?.full.size ?? 0 };
      assert.deepEqual(counted, sum, `hints for ${id}`);
    }
  }
}

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('accept' as const),
      target: fc.nat(2),
      key: fc.nat(11),
      bytes: fc.nat(200),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('refer' as const), target: fc.nat(2), key: fc.nat(11) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('forget' as const), target: fc.nat(2), key: fc.nat(11) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('commit' as const) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('complete' as const), full: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('page' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
);

test('rows, bytes and full hints of each target are exact at any time', () => {
  let refusedAtBound = 0;
  let restarts = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 120, size: 'max' }), (steps) => {
      const house = new House();
      for (const one of steps) {
        if (one.do === 'accept') {
          const rowKey = rowKeys[one.key]!;
          const stamp = { time: house.time++, logical: 0, actor: 1, counter: house.time };
          const body = { kind: KIND_STRING, value: new Uint8Array(one.bytes), expireAt: 0 };
          const { accepted, isLoading } = house.book;
          const id = targets[one.target]!;
          house.book.accept(id, rowKey, encodeRow(rowKey, body, stamp), { stored: () => {} });
          // While the book is read back it takes hints in without knowing of all there are.
          if (!isLoading && house.book.accepted > accepted) {
            assert.ok(house.book.target(id)!.bytes <= bytesMax, 'within the bound');
          }
        } else if (one.do === 'refer')
          house.book.refer(targets[one.target]!, rowKeys[one.key]!, house.time++);
        else if (one.do === 'forget') house.book.forget(targets[one.target]!, rowKeys[one.key]!);
        else if (one.do === 'commit') house.replica.commit();
        else if (one.do === 'complete' && house.storage.pending.length > 0) {
          house.storage.complete(one.full ? new CodedError('storage-full', 'fail', 'full') : undefined);
        } else if (one.do === 'page') house.storage.asked.shift()?.();
        else if (one.do === 'restart') {
          refusedAtBound += house.book.refused;
          restarts++;
          const old = house.storage;
          house.storage = new SlowStorage(false);
          for (const [key, value] of old.entries) house.storage.entries.set(key, value);
          house.start();
        }
        house.check();
      }
      refusedAtBound += house.book.refused;
      while (house.storage.asked.length > 0) house.storage.asked.shift()!();
      assert.equal(house.book.isLoading, false);
      house.check();
      // And at rest the storage itself agrees.
      for (let i = 0; i < 3; i++) {
        house.replica.commit();
        while (house.storage.pending.length > 0) house.storage.complete();
      }
      house.check();
      const stored = [...house.storage.entries.keys()].filter((key) => key.startsWith(HINTS_FIRST));
      assert.equal(stored.length, house.book.totals().rows);
    }),
    { numRuns: 300 },
  );
  assert.ok(refusedAtBound > 0 && restarts > 0, 'the bound and restarts were met');
});
