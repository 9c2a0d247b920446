/**
 * Rows and their merge, the heart: the laws that replication rests on, over random rows, and what the
 * bytes of a row and of a row key promise. A merge that breaks the laws is shown to be caught.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ByteString, byteString, bytesOf, compareBytes, writeU32 } from '../../src/base/bytes.ts';
import { crc32Text } from '../../src/base/crc32.ts';
import { slotOf } from '../../src/ring/slots.ts';
import {
  elementRowKeyOf,
  isRowKey,
  META_PREFIX,
  type RowKey,
  rowKeyElement,
  rowKeyOf,
  rowKeySlot,
  rowKeyUserKey,
  slotStart,
} from '../../src/rows/key.ts';
import { mergeRows } from '../../src/rows/merge.ts';
import {
  compareRowStamp,
  compareRowStamps,
  compareStamps,
  encodeRow,
  encodeStamp,
  isRowIntact,
  isRowLive,
  KIND_STRING,
  KIND_TOMBSTONE,
  liveBody,
  ROW_HEADER_BYTES,
  type Row,
  type RowBody,
  rowActor,
  rowCounter,
  rowExpireAt,
  rowKind,
  rowLogical,
  rowStamp,
  rowTime,
  rowValue,
  STAMP_NONE,
  type StampParts,
  stampLogical,
  stampTime,
} from '../../src/rows/row.ts';

const u48Max = 2 ** 48 - 1;

/** A record as the code under test makes them, with a prototype. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
}

const u48: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 1, 255, 256, 2 ** 31, 2 ** 32 - 1, 2 ** 32, u48Max),
  fc.maxSafeNat().map((value) => value % (u48Max + 1)),
);
const anyStamp: fc.Arbitrary<StampParts> = record({
  time: u48,
  logical: fc.nat(0xffff),
  actor: u48,
  counter: u48,
});
/** Stamps that differ in a part or two. */
const closeStamp: fc.Arbitrary<StampParts> = record({
  time: fc.nat(1),
  logical: fc.nat(1),
  actor: fc.nat(1),
  counter: fc.nat(1),
});
/** So few that equal ones meet in a fourth of all pairs. */
const fewStamps: fc.Arbitrary<StampParts> = fc.constantFrom(
  { time: 1, logical: 0, actor: 1, counter: 1 },
  { time: 1, logical: 0, actor: 2, counter: 1 },
  { time: 1, logical: 1, actor: 1, counter: 2 },
  { time: 2, logical: 0, actor: 1, counter: 3 },
);
const anyBody: fc.Arbitrary<RowBody> = record({
  kind: fc.constantFrom(KIND_TOMBSTONE, KIND_STRING),
  // Short and long values are checksummed in two ways: both must come up.
  value: fc.uint8Array({ maxLength: 150, size: 'max' }),
  expireAt: fc.oneof(fc.constant(0), u48),
});
const closeBody: fc.Arbitrary<RowBody> = record({
  kind: fc.constantFrom(KIND_TOMBSTONE, KIND_STRING),
  value: fc.uint8Array({ maxLength: 2, max: 1 }),
  expireAt: fc.nat(1),
});
/** Keys in which zero bytes, ones and 0xff are common: where escaping can go wrong. */
const anyKey: fc.Arbitrary<ByteString> = fc
  .array(fc.oneof(fc.constantFrom(0, 1, 2, 0xff, 0x7b, 0x7d), fc.nat(255)), { maxLength: 12 })
  .map((bytes) => byteString(Uint8Array.from(bytes)));

const mergeKey = rowKeyOf('k');
const merged: Merge = (a, b) => mergeRows(mergeKey, a, b);

const anyRow: fc.Arbitrary<Row> = fc
  .oneof(
    { weight: 3, arbitrary: fc.tuple(closeBody, fewStamps) },
    { weight: 1, arbitrary: fc.tuple(anyBody, anyStamp) },
  )
  .map(([body, stamp]) => encodeRow(mergeKey, body, stamp));

type Merge = (a: Row, b: Row) => Row;

/** The three laws, and that nothing is made up and nothing newer is lost. */
const laws: Readonly<Record<string, (merge: Merge) => void>> = {
  commutative: (merge) =>
    fc.assert(fc.property(anyRow, anyRow, (a, b) => assert.deepEqual(merge(a, b), merge(b, a)))),
  associative: (merge) =>
    fc.assert(
      fc.property(anyRow, anyRow, anyRow, (a, b, c) =>
        assert.deepEqual(merge(a, merge(b, c)), merge(merge(a, b), c)),
      ),
    ),
  idempotent: (merge) =>
    fc.assert(
      fc.property(anyRow, anyRow, (a, b) => {
        assert.deepEqual(merge(a, a), a);
        const merged = merge(a, b);
        assert.deepEqual(merge(merged, a), merged);
        assert.deepEqual(merge(merged, b), merged);
      }),
    ),
  'of the greatest stamp': (merge) =>
    fc.assert(
      fc.property(anyRow, anyRow, (a, b) => {
        const merged = merge(a, b);
        assert.ok(merged === a || merged === b);
        assert.ok(compareRowStamps(merged, a) >= 0 && compareRowStamps(merged, b) >= 0);
      }),
    ),
};

/** Names of the laws that a merge breaks. */
function lawsBroken(merge: Merge): string[] {
  return Object.keys(laws).filter((name) => {
    try {
      laws[name]!(merge);
      return false;
    } catch {
      return true;
    }
  });
}

describe('merge', () => {
  for (const [name, law] of Object.entries(laws)) test(`is ${name}`, () => law(merged));

  test('gives all replicas the same row, whatever the order and repetition of messages', () => {
    fc.assert(
      fc.property(
        fc.array(anyRow, { minLength: 1, maxLength: 8 }).chain((rows) =>
          fc.tuple(
            fc.constant(rows),
            fc.array(fc.nat(rows.length - 1), { maxLength: 20 }).map((extra) => [...rows.keys(), ...extra]),
            fc.shuffledSubarray([...rows.keys()], { minLength: rows.length }),
          ),
        ),
        ([rows, withRepeats, shuffled]) => {
          const fold = (order: readonly number[]): Row =>
            order.map((i) => rows[i]!).reduce((a, b) => merged(a, b));
          assert.deepEqual(fold(withRepeats), fold([...rows.keys()]));
          assert.deepEqual(fold(shuffled), fold([...rows.keys()]));
        },
      ),
    );
  });

  test('mutants: a merge that breaks a law is caught', () => {
    assert.deepEqual(lawsBroken(merged), []);
    const byTimeAlone: Merge = (a, b) => (rowTime(a) >= rowTime(b) ? a : b);
    const mutants: Readonly<Record<string, Merge>> = {
      'last arrival wins': (_, b) => b,
      'first arrival wins': (a) => a,
      'equal stamps: the first wins': (a, b) => (compareRowStamps(a, b) >= 0 ? a : b),
      'only the time counts': byTimeAlone,
      'the larger value wins': (a, b) => (a.length >= b.length ? a : b),
      'tombstones lose': (a, b) => {
        if (rowKind(a) !== rowKind(b)) return rowKind(a) === KIND_TOMBSTONE ? b : a;
        return merged(a, b);
      },
    };
    for (const [name, merge] of Object.entries(mutants)) assert.notDeepEqual(lawsBroken(merge), [], name);
    assert.ok(lawsBroken(mutants['last arrival wins']!).includes('commutative'));
    assert.ok(lawsBroken(mutants['equal stamps: the first wins']!).includes('commutative'));
    assert.deepEqual(lawsBroken(mutants['tombstones lose']!), ['of the greatest stamp']);
  });
});

describe('row', () => {
  test('encodes and reads back', () => {
    fc.assert(
      fc.property(anyKey, anyBody, anyStamp, fc.nat(7), (key, body, stamp, offset) => {
        const encoded = encodeRow(rowKeyOf(key), body, stamp);
        // A row read from a frame or from disk is a view into something larger.
        const around = new Uint8Array(encoded.length + offset + 3).fill(0xaa);
        around.set(encoded, offset);
        const row = around.subarray(offset, offset + encoded.length);
        assert.ok(isRowIntact(rowKeyOf(key), row));
        assert.equal(row.length, ROW_HEADER_BYTES + body.value.length);
        assert.deepEqual({ kind: rowKind(row), value: rowValue(row), expireAt: rowExpireAt(row) }, body);
        assert.deepEqual(
          { time: rowTime(row), logical: rowLogical(row), actor: rowActor(row), counter: rowCounter(row) },
          stamp,
        );
        assert.deepEqual(rowStamp(row), encodeStamp(stamp));
        assert.equal(stampTime(rowStamp(row)), stamp.time);
        assert.equal(stampLogical(rowStamp(row)), stamp.logical);
      }),
    );
  });

  test('owns its bytes: the value handed in may change afterwards', () => {
    const value = Uint8Array.of(1, 2, 3);
    const row = encodeRow(mergeKey, { kind: KIND_STRING, value, expireAt: 0 }, stampOf(1));
    value[0] = 9;
    assert.deepEqual(rowValue(row), Uint8Array.of(1, 2, 3));
  });

  test('any single flipped bit, any cut and any other key is noticed', () => {
    for (const length of [0, 1, 63, 64, 65, 300]) {
      const value = Uint8Array.from({ length }, (_, i) => (i * 37) & 0xff);
      const row = encodeRow(mergeKey, { kind: KIND_STRING, value, expireAt: 12345 }, stampOf(77));
      assert.ok(isRowIntact(mergeKey, row));
      for (let bit = 0; bit < row.length * 8; bit++) {
        const damaged = row.slice();
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        assert.ok(!isRowIntact(mergeKey, damaged), `bit ${bit} of a row with a value of ${length} bytes`);
      }
      for (let end = 0; end < row.length; end++) {
        assert.ok(!isRowIntact(mergeKey, row.subarray(0, end)), `cut at ${end} of ${row.length}`);
      }
      const keyBytes = bytesOf(mergeKey);
      for (let bit = 0; bit < keyBytes.length * 8; bit++) {
        const other = keyBytes.slice();
        other[bit >> 3]! ^= 1 << (bit & 7);
        assert.ok(!isRowIntact(byteString(other), row), `the row of another key, bit ${bit}`);
      }
    }
  });

  test('a row of another format version is refused, though its checksum is right', () => {
    const row = encodeRow(mergeKey, { kind: KIND_STRING, value: bytesOf('v'), expireAt: 0 }, stampOf(1));
    const sign = (): void => {
      const signed = `${mergeKey}${byteString(row, 0, 28)}${byteString(row, ROW_HEADER_BYTES)}`;
      writeU32(row, 28, crc32Text(signed));
    };
    sign();
    assert.ok(isRowIntact(mergeKey, row), 'the checksum is that of row key, header and value');
    row[0] = 2;
    sign();
    assert.equal(isRowIntact(mergeKey, row), false);
  });

  test('random bytes are refused or read, never a crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        assert.equal(isRowIntact(mergeKey, bytes), false);
      }),
    );
  });

  test('is live until its time, and a tombstone never', () => {
    fc.assert(
      fc.property(anyBody, u48, (body, wall) => {
        const row = encodeRow(mergeKey, body, stampOf(1));
        const live = body.kind !== KIND_TOMBSTONE && (body.expireAt === 0 || wall < body.expireAt);
        assert.equal(isRowLive(row, wall), live);
        assert.deepEqual(liveBody(row, wall), live ? body : undefined);
      }),
    );
    const row = encodeRow(
      mergeKey,
      { kind: KIND_STRING, value: new Uint8Array(0), expireAt: 100 },
      stampOf(1),
    );
    assert.deepEqual(
      [99, 100, 101].map((wall) => isRowLive(row, wall)),
      [true, false, false],
    );
    assert.equal(isRowLive(undefined, 0), false);
    assert.equal(liveBody(undefined, 0), undefined);
  });
});

describe('stamp', () => {
  const numeric = (a: StampParts, b: StampParts): number =>
    a.time - b.time || a.logical - b.logical || a.actor - b.actor || a.counter - b.counter;

  test('byte order is numeric order', () => {
    const either = fc.oneof(closeStamp, anyStamp);
    fc.assert(
      fc.property(either, either, anyBody, anyBody, (a, b, bodyA, bodyB) => {
        const expected = Math.sign(numeric(a, b));
        const [rowA, rowB] = [encodeRow(mergeKey, bodyA, a), encodeRow(mergeKey, bodyB, b)];
        assert.equal(Math.sign(compareStamps(encodeStamp(a), encodeStamp(b))), expected);
        assert.equal(Math.sign(compareBytes(encodeStamp(a), encodeStamp(b))), expected);
        assert.equal(Math.sign(compareRowStamp(rowA, encodeStamp(b))), expected);
        assert.equal(Math.sign(compareRowStamps(rowA, rowB)), expected);
      }),
    );
  });

  test('none is below every other', () => {
    fc.assert(
      fc.property(anyStamp, (stamp) => {
        const bytes = encodeStamp(stamp);
        const zero = bytes.every((byte) => byte === 0);
        assert.equal(Math.sign(compareStamps(STAMP_NONE, bytes)), zero ? 0 : -1);
      }),
    );
  });
});

describe('row key', () => {
  test('gives back slot, key and element', () => {
    fc.assert(
      fc.property(anyKey, anyKey, (key, element) => {
        const head = rowKeyOf(key);
        const rowKey = elementRowKeyOf(key, element);
        for (const each of [head, rowKey]) {
          assert.equal(rowKeySlot(each), slotOf(key));
          assert.equal(rowKeyUserKey(each), key);
          assert.ok(isRowKey(each));
        }
        assert.equal(rowKeyElement(head), '');
        assert.equal(rowKeyElement(rowKey), element);
      }),
    );
  });

  test('order is that of slot, key and element, zero bytes or not', () => {
    // One hash tag keeps the keys in one slot, so that it is the keys that decide.
    const tagged = anyKey.map((key) => `{t}${key}`);
    const order = (a: ByteString, b: ByteString): number => (a < b ? -1 : a > b ? 1 : 0);
    fc.assert(
      fc.property(fc.oneof(tagged, anyKey), anyKey, fc.oneof(tagged, anyKey), anyKey, (a, x, b, y) => {
        const expected = slotOf(a) - slotOf(b) || order(a, b) || order(x, y);
        assert.equal(order(elementRowKeyOf(a, x), elementRowKeyOf(b, y)), Math.sign(expected));
      }),
      { numRuns: 2000 },
    );
  });

  test('lies between the ends of its slot, and notes of the node after all rows', () => {
    fc.assert(
      fc.property(anyKey, anyKey, (key, element) => {
        const rowKey = elementRowKeyOf(key, element);
        assert.ok(slotStart(slotOf(key)) < rowKey && rowKey < slotStart(slotOf(key) + 1));
        assert.ok(rowKey < META_PREFIX);
      }),
    );
    assert.ok(slotStart(16_384) <= META_PREFIX);
  });

  test('a form that no key has is refused', () => {
    const refused: RowKey[] = [
      '',
      '\0\0',
      '\0\0a',
      '\0\0a\0',
      '\0\0a\0\x01',
      '\0\0a\0\x02\0\0',
      '\0\0\0\xff\0\0',
      '\x40\0a\0\0',
      '\xff\xffa\0\0',
    ];
    for (const text of refused) assert.equal(isRowKey(text), false, JSON.stringify(text));
    fc.assert(
      fc.property(anyKey, anyKey, (slotBytes, rest) => {
        const text = `${slotBytes.slice(0, 2)}${rest}`;
        if (!isRowKey(text)) return;
        const key = rowKeyUserKey(text);
        const expected = elementRowKeyOf(key, rowKeyElement(text)).slice(2);
        assert.equal(text.slice(2), expected, 'one key has one form');
      }),
      { numRuns: 2000 },
    );
  });
});

function stampOf(time: number): StampParts {
  return { time, logical: 1, actor: 2, counter: 3 };
}
