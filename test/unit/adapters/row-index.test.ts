/** The row index against a model, with hashes that collide on purpose; and the key hash it is used with. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { KeyWords } from '../../../src/adapters/key-words.ts';
import { RowIndex } from '../../../src/adapters/row-index.ts';
import { ROW_WORDS, RowTable } from '../../../src/adapters/row-table.ts';
import { byteString, bytesOf } from '../../../src/base/bytes.ts';
import { Prng } from '../../../src/base/prng.ts';

/** All rows the index has under a hash, in the order it gives them. */
function rowsOf(index: RowIndex, hash: number): number[] {
  const rows: number[] = [];
  for (let row = index.find(hash); row !== 0; row = index.find(hash, row)) rows.push(row);
  return rows;
}

function checkAgainst(index: RowIndex, model: ReadonlyMap<number, number>, hashes: Iterable<number>): void {
  const byHash = new Map<number, number[]>();
  for (const [row, hash] of model) byHash.set(hash, [...(byHash.get(hash) ?? []), row]);
  for (const hash of hashes) {
    const expected = (byHash.get(hash) ?? []).sort((a, b) => a - b);
    assert.deepEqual(
      rowsOf(index, hash).sort((a, b) => a - b),
      expected,
    );
  }
  assert.equal(index.count, model.size);
}

/** Hashes with few homes among them, those at the end of the shelf included, and equal ones. */
const hashes = fc.oneof(
  fc.integer({ min: -4, max: 3 }),
  fc.integer({ min: 60, max: 66 }),
  fc.integer({ min: 0, max: 7 }).map((n) => (n << 20) | 63),
  fc.constantFrom(-0x8000_0000, 0x7fff_ffff),
  fc.integer(),
);

describe('row index', () => {
  it('agrees with a Map on any sequence of inserts and removals', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ hash: hashes, remove: fc.boolean(), pick: fc.nat() }), { maxLength: 300 }),
        (steps) => {
          const index = new RowIndex();
          const model = new Map<number, number>();
          const seen = new Set<number>();
          let next = 1;
          for (const { hash, remove, pick } of steps) {
            seen.add(hash);
            if (remove && model.size > 0) {
              const row = [...model.keys()][pick % model.size]!;
              index.remove(model.get(row)!, row);
              model.delete(row);
            } else {
              index.insert(hash, next);
              model.set(next++, hash);
            }
          }
          checkAgainst(index, model, seen);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('grows, empties and fills again', () => {
    const index = new RowIndex();
    const random = new Prng(11);
    const model = new Map<number, number>();
    for (let row = 1; row <= 20_000; row++) {
      const hash = (random.chance(0.1) ? random.below(500) : random.u32()) | 0;
      index.insert(hash, row);
      model.set(row, hash);
    }
    checkAgainst(index, model, new Set(model.values()));
    assert.ok(index.bytes < 20_000 * 8 * 4, `${index.bytes} bytes`);
    for (const [row, hash] of [...model]) {
      if (row % 3 === 0) continue;
      index.remove(hash, row);
      model.delete(row);
    }
    checkAgainst(index, model, new Set(model.values()));
    for (const [row, hash] of model) index.remove(hash, row);
    assert.equal(index.count, 0);
    for (let hash = 0; hash < 500; hash++) assert.equal(index.find(hash), 0);
    assert.throws(() => index.remove(1, 1));
  });
});

describe('row table', () => {
  it('gives numbers from 1 on, each to one row at a time, and keeps its lines while it grows', () => {
    const table = new RowTable(true);
    const held = new Map<number, number>();
    const random = new Prng(5);
    for (let i = 0; i < 5000; i++) {
      if (held.size > 0 && random.chance(0.4)) {
        const row = held.keys().next().value!;
        held.delete(row);
        table.remove(row);
        continue;
      }
      const row = table.add();
      assert.ok(row >= 1 && !held.has(row));
      for (let word = 0; word < ROW_WORDS; word++) table.words[row * ROW_WORDS + word] = i * 7 + word;
      table.counters[row] = i;
      held.set(row, i);
    }
    for (const [row, i] of held) {
      for (let word = 0; word < ROW_WORDS; word++) {
        assert.equal(table.words[row * ROW_WORDS + word], i * 7 + word);
      }
      assert.equal(table.counters[row], i & 0xff);
    }
  });
});

describe('key words', () => {
  it('packs a key of any chars and length, whatever was read before', () => {
    const key = new KeyWords(1, 2);
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 600 }), { minLength: 1, maxLength: 4 }), (keys) => {
        for (const bytes of keys) {
          key.read(byteString(bytes));
          assert.equal(key.length, bytes.length);
          assert.equal(key.count, Math.ceil(bytes.length / 4));
          const packed = new Uint8Array(key.words.slice(0, key.count).buffer);
          assert.deepEqual(packed.subarray(0, bytes.length), new Uint8Array(bytes));
          assert.ok(packed.subarray(bytes.length).every((byte) => byte === 0));
        }
      }),
    );
  });

  it('spreads keys that are alike, differently under another seed', () => {
    const count = 1 << 16;
    const load = (seed: number): Set<number> => {
      const key = new KeyWords(seed, ~seed);
      const all = new Set<number>();
      const low = new Uint16Array(count);
      for (let i = 0; i < count; i++) {
        key.read(`\x12\x34key:${String(i).padStart(12, '0')}\x00\x00`);
        all.add(key.hash);
        low[key.hash & (count - 1)]!++;
      }
      // As many different low halves as of random numbers: 1 - 1/e of them.
      const share = low.filter((n) => n > 0).length / count;
      assert.ok(Math.abs(share - 0.632) < 0.01, `${share}`);
      assert.ok(all.size > count - 10, `${all.size} hashes`);
      return all;
    };
    const first = load(1);
    assert.ok([...load(2)].filter((hash) => first.has(hash)).length < 20);
  });

  it('tells apart keys that differ in length only', () => {
    const key = new KeyWords(3, 4);
    const seen = new Set<number>();
    for (let length = 0; length <= 64; length++) {
      key.read(byteString(bytesOf('\x00'.repeat(length))));
      seen.add(key.hash);
    }
    assert.equal(seen.size, 65);
  });
});
