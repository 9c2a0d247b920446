/** How leaves stay right: writes during a reading, batches that fail, restarts, storage that fails or evicts. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ByteString } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { NODE_LIMITS_DEFAULT } from '../../../src/node/options.ts';
import type { RangeQuery, StorageEntry, StorageFigures } from '../../../src/ports/storage.ts';
import type { Need } from '../../../src/repair/ports.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { ManualStorage } from '../../support/manual-storage.ts';
import { Pair, rowOf, type Side, totals } from '../../support/repair-pair.ts';

/** A storage whose pages are read when they are asked for, and handed out when the test says so. */
class HeldStorage extends ManualStorage {
  held: (() => void)[] | undefined = undefined;
  evictions = 0;
  pages = 0;

  constructor(entries?: ReadonlyMap<ByteString, Uint8Array>) {
    super(true, entries);
  }

  override range(
    query: RangeQuery,
    done: (error: CodedError | undefined, entries: readonly StorageEntry[]) => void,
  ): void {
    this.pages++;
    super.range(query, (error, entries) => {
      if (this.held === undefined) done(error, entries);
      else this.held.push(() => done(error, entries));
    });
  }

  override figures(): StorageFigures {
    return { ...super.figures(), evictions: this.evictions };
  }
}

function pairOn(storage: HeldStorage): Pair {
  return new Pair({ storages: [storage, new ManualStorage(true)] });
}

const slot = slotOf('key');

function needOf(side: Side, more: Partial<Need> = {}): Need {
  return { since: side.nowMs, rescan: false, urgent: true, until: side.nowMs + 1000, ...more };
}

/** Weighs the slot of the key and gives its hash. */
function weigh(side: Side, more: Partial<Need> = {}): string {
  let told: CodedError | 'done' | undefined;
  side.rows.refresh([slot], needOf(side, more), (error) => {
    told = error ?? 'done';
  });
  for (let step = 0; told === undefined && step < 100; step++) side.pass(5);
  assert.equal(told, 'done');
  const { a, b } = side.rows.sum(slot * 16, 16);
  return `${a} ${b}`;
}

describe('leaves', () => {
  it('a write that is handed in while its slot is read is seen the next time', () => {
    const storage = new HeldStorage();
    const pair = pairOn(storage);
    pair.a.put('key', 1);
    storage.held = [];
    let done = false;
    pair.a.rows.refresh([slot], needOf(pair.a), () => {
      done = true;
    });
    assert.equal(storage.held.length, 1);
    pair.a.put('key', 2);
    for (const hand of storage.held) hand();
    storage.held = undefined;
    assert.equal(done, true);
    assert.equal(pair.a.forest.isMarked(slot), true, 'the slot is to be weighed once more');
    pair.a.nowMs += 1;
    const seen = weigh(pair.a);
    pair.b.put('key', 2);
    assert.equal(weigh(pair.b), seen);
    assert.equal(totals(pair.compare(pair.a).outcomes).equal, 64);
  });

  it('are not read again when nothing was written, and are when something was', () => {
    const storage = new HeldStorage();
    const pair = pairOn(storage);
    pair.a.put('key', 1);
    const first = weigh(pair.a);
    const { pages } = storage;
    pair.a.nowMs += 1000;
    assert.equal(weigh(pair.a), first);
    assert.equal(storage.pages, pages);
    pair.a.put('key', 2);
    assert.notEqual(weigh(pair.a), first);
    assert.equal(storage.pages, pages + 1);
    // Somebody asks for every row to be read.
    pair.a.nowMs += 1;
    weigh(pair.a, { rescan: true });
    assert.equal(storage.pages, pages + 2);
    // Or it was long ago.
    pair.a.nowMs += 4 * 600_000 + 1;
    weigh(pair.a);
    assert.equal(storage.pages, pages + 3);
  });

  it('a batch that fails marks its slots again', () => {
    const storage = new HeldStorage();
    const pair = pairOn(storage);
    pair.a.put('key', 1);
    weigh(pair.a);
    storage.automatic = false;
    const rowKey = rowKeyOf('key');
    pair.a.replica.merge(rowKey, rowOf(rowKey, 2, 'lost'), undefined);
    pair.pump();
    // A comparison that is past its roots reads the slot meanwhile.
    const leaves = Array.from({ length: 16 }, (_, bucket) => slot * 16 + bucket);
    const ignored = (): void => undefined;
    pair.a.rows.collect(leaves, needOf(pair.a), ignored, ignored);
    assert.equal(pair.a.forest.isMarked(slot), false);
    storage.complete(new CodedError('storage-full', 'fail', 'full'));
    assert.equal(pair.a.forest.isMarked(slot), true);
  });

  it('after a restart all slots are to be weighed', () => {
    const storage = new HeldStorage();
    const before = pairOn(storage);
    before.a.put('key', 1);
    const hash = weigh(before.a);
    const after = pairOn(new HeldStorage(storage.entries));
    assert.equal(after.a.forest.isMarked(slot), true);
    assert.equal(weigh(after.a), hash);
  });

  it('a page that fails leaves the rest of its slots marked', () => {
    const storage = new HeldStorage();
    const pair = pairOn(storage);
    pair.a.put('key', 1);
    storage.rangeError = new CodedError('corrupt', 'none', 'a block fails its checksum');
    let told: CodedError | undefined;
    pair.a.rows.refresh([slot], needOf(pair.a), (error) => {
      told = error;
    });
    assert.equal(told?.code, 'corrupt');
    assert.equal(pair.a.forest.isMarked(slot), true);
    storage.rangeError = undefined;
    const hash = weigh(pair.a);
    pair.b.put('key', 1);
    assert.equal(weigh(pair.b), hash);
  });

  it('a job that is not done in time is given up, and goes on where it was when asked again', () => {
    const storage = new HeldStorage();
    const pair = pairOn(storage);
    const rowKey = rowKeyOf('key');
    for (let i = 0; i < 3000; i++) {
      const key = `${rowKey.slice(0, 2)}${String(i).padStart(6, '0')}\x00\x00`;
      pair.a.replica.merge(key, rowOf(key, 1, 'v'), undefined, 'sync');
    }
    pair.pump();
    storage.held = [];
    let told: CodedError | undefined;
    pair.a.rows.refresh([slot, slot + 1], needOf(pair.a, { until: pair.a.nowMs + 10 }), (error) => {
      told = error;
    });
    pair.a.nowMs += 20;
    for (const hand of storage.held.splice(0)) hand();
    assert.equal(told?.code, 'deadline-exceeded');
    assert.equal(pair.a.forest.isMarked(slot), true);
    storage.held = undefined;
    weigh(pair.a);
    assert.equal(pair.a.forest.isMarked(slot), false);
  });

  it('more jobs than the bound, and a storage that evicts, are refused', () => {
    const storage = new HeldStorage();
    const pair = pairOn(storage);
    storage.held = [];
    const codes: (string | undefined)[] = [];
    for (let i = 0; i < 262; i++)
      pair.a.rows.refresh([slot], needOf(pair.a), (error) => void codes.push(error?.code));
    assert.deepEqual(new Set(codes), new Set(['overloaded']));
    assert.equal(codes.length, 6);
    for (let i = 0; storage.held.length > 0 && i < 10; i++) for (const hand of storage.held.splice(0)) hand();
    storage.held = undefined;
    for (let i = 0; i < 20; i++) pair.a.pass(5);
    assert.equal(codes.length, 262);
    pair.a.put('key', 9);
    storage.evictions = 1;
    pair.a.nowMs += 1;
    pair.a.rows.refresh([slot], needOf(pair.a), (error) => void codes.push(error?.code));
    assert.equal(codes.at(-1), 'unsupported');
  });

  it('patient work waits while the purse is empty', () => {
    const storage = new HeldStorage();
    const pair = pairOn(storage);
    // 100 MB at the price of 10 ms a megabyte, at a share of 5 %: twenty seconds.
    pair.a.rows.tick(pair.a.nowMs);
    pair.a.rows.whenAllowed(false, 100_000_000, () => undefined);
    let done = false;
    const until = pair.a.nowMs + 60_000;
    pair.a.rows.refresh([slot], needOf(pair.a, { urgent: false, until }), () => {
      done = true;
    });
    for (let ms = 0; ms < 15_000; ms += 5) pair.a.pass(5);
    assert.equal(done, false);
    for (let ms = 0; ms < 10_000; ms += 5) pair.a.pass(5);
    assert.equal(done, true);
  });
});

describe('rows that move', () => {
  it('are fetched at the rate that is allowed, and no faster', () => {
    const { rows, nowMs } = pairOn(new HeldStorage()).a;
    const piece = 256 * 1024;
    let fetched = 0;
    let isAsked = false;
    const began = nowMs;
    const fetch = (): void => {
      isAsked = false;
      fetched += piece;
      rows.moved(piece);
    };
    for (let now = began; now < began + 10_000; now += 5) {
      rows.tick(now);
      if (isAsked) continue;
      isAsked = true;
      rows.whenMoveAllowed(fetch);
    }
    const perSecond = fetched / 10;
    assert.ok(perSecond <= NODE_LIMITS_DEFAULT.moveBytesPerSecond * 1.02, `${perSecond} bytes a second`);
    assert.ok(perSecond >= NODE_LIMITS_DEFAULT.moveBytesPerSecond * 0.5, `${perSecond} bytes a second`);
  });

  it('come in pages of so many bytes, in order, without those that are damaged or gone', () => {
    const pair = pairOn(new HeldStorage());
    const names: string[] = [];
    for (let i = 0; names.length < 300; i++) {
      if (pair.table.partitionOfSlot(slotOf(`key ${i}`)) !== 5) continue;
      names.push(`key ${i}`);
      pair.a.put(`key ${i}`, i, 'x'.repeat(500));
    }
    const broken = rowKeyOf(names[10]!);
    pair.a.storage.entries!.get(broken)![40]! ^= 1;
    const met: string[] = [];
    const sizes: number[] = [];
    for (let after = '', more = true; more; ) {
      let isDone = false;
      pair.a.rows.page(5, after, 20_000, true, (error, rows, rest) => {
        assert.equal(error, undefined);
        sizes.push(rows.reduce((sum, { rowKey, row }) => sum + rowKey.length + row.length, 0));
        for (const { rowKey } of rows) met.push(rowKey);
        after = met.at(-1)!;
        more = rest;
        isDone = true;
      });
      for (let i = 0; i < 1000 && !isDone; i++) pair.a.pass(5);
      assert.ok(isDone);
    }
    const expected = names.map((name) => rowKeyOf(name)).filter((key) => key !== broken);
    assert.deepEqual(
      met,
      expected.toSorted((x, y) => (x < y ? -1 : 1)),
    );
    for (const size of sizes) assert.ok(size <= 20_000, `${size}`);
    for (const size of sizes.slice(0, -1)) assert.ok(size > 18_000, `${size}`);
  });
});
