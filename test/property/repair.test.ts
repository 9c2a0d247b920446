/**
 * Laws of comparisons, for any two stores: after sessions all rows are equal, each the winner of what
 * there was; nothing is sent that was not needed; equal stores cost nothing but roots.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HashForest } from '../../src/merkle/hash-forest.ts';
import { RowHash } from '../../src/merkle/row-hash.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { mergeRows } from '../../src/rows/merge.ts';
import type { Row } from '../../src/rows/row.ts';
import { Pair, rowOf, totals } from '../support/repair-pair.ts';

/** A row of either side: key, time, and whether it is a tombstone. */
const rowsOfSide = fc.array(
  fc
    .record({
      key: fc.integer({ min: 0, max: 60 }).map((i) => (i % 3 === 0 ? `{t}${i}` : `key ${i}`)),
      ms: fc.integer({ min: 1, max: 500 }),
      dead: fc.boolean(),
    })
    // No two writes have one stamp: what is dead differs in its time from what is not.
    .map(({ key, ms, dead }) => ({ key, ms: 2 * ms + (dead ? 1 : 0), dead })),
  { maxLength: 60 },
);
const partitionCount = fc.constantFrom(1, 2, 8, 64, 1024, 16_384);

function winners(
  ...sides: readonly (readonly { key: string; ms: number; dead: boolean }[])[]
): Map<string, Row> {
  const all = new Map<string, Row>();
  for (const { key, ms, dead } of sides.flat()) {
    const rowKey = rowKeyOf(key);
    const row = rowOf(rowKey, ms, dead ? null : `value ${key} ${ms}`);
    const held = all.get(rowKey);
    all.set(rowKey, held === undefined ? row : mergeRows(rowKey, held, row));
  }
  return all;
}

describe('comparisons', () => {
  it('make any two stores equal, to the winner of each row, in one session and no more rows than needed', () => {
    fc.assert(
      fc.property(rowsOfSide, rowsOfSide, partitionCount, fc.boolean(), (ofA, ofB, count, wide) => {
        const pair = new Pair({ partitionCount: wide ? 1 : count });
        for (const { key, ms, dead } of ofA) pair.a.put(key, ms, dead ? null : undefined);
        for (const { key, ms, dead } of ofB) pair.b.put(key, ms, dead ? null : undefined);
        const before = [pair.held(pair.a), pair.held(pair.b)] as const;
        const { error, outcomes } = pair.compare(pair.a, { wide });
        assert.equal(error, undefined);
        const expected = new Map([...winners(ofA, ofB)].sort(([x], [y]) => (x < y ? -1 : 1)));
        const asText = new Map([...expected].map(([key, row]) => [key, [...row].join()]));
        assert.deepEqual(pair.held(pair.a), asText);
        assert.deepEqual(pair.held(pair.b), asText);
        const sum = totals(outcomes);
        const lacking = (held: ReadonlyMap<string, string>): number =>
          [...asText].filter(([key, row]) => !isSameStamp(held.get(key), row)).length;
        assert.equal(sum.taken, lacking(before[0]));
        assert.equal(sum.sent, lacking(before[1]));
        assert.equal(totals(pair.compare(pair.b, { wide }).outcomes).equal, pair.table.partitionCount);
      }),
      { numRuns: 60 },
    );
  });

  it('never lose or resurrect under any horizons: what is deleted behind a horizon stays deleted', () => {
    fc.assert(
      fc.property(
        rowsOfSide,
        rowsOfSide,
        fc.integer({ min: 1, max: 1000 }),
        fc.boolean(),
        (common, later, horizonMs, byA) => {
          const pair = new Pair({ partitionCount: 1 });
          // b has an old copy of what both had; a went on, and closed its past at the horizon.
          for (const { key, ms, dead } of common)
            for (const side of [pair.a, pair.b]) side.put(key, ms, dead ? null : undefined);
          for (const { key, ms, dead } of later) pair.a.put(key, ms, dead ? null : undefined);
          const held = winners(common, later);
          pair.a.replica.raiseHorizon(0, 1_700_000_000_000 - 1_000_000 + horizonMs, {
            stored: () => undefined,
          });
          pair.pump();
          const expected = pair.held(pair.a);
          for (let round = 0; round < 3; round++) pair.compare(byA ? pair.a : pair.b, { wide: true });
          assert.deepEqual(pair.held(pair.a), expected, 'the side ahead keeps what it had');
          assert.deepEqual(pair.held(pair.b), expected, 'the side behind holds the same');
          for (const [key, row] of held)
            if (row[1] === 0) assert.equal(isAlive(pair.held(pair.b).get(key)), false);
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('the hash forest', () => {
  it('is the same in whatever order rows are added, and tells any change of a key or stamp', () => {
    const hash = new RowHash();
    fc.assert(
      fc.property(
        fc.uniqueArray(
          fc.tuple(
            fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 30 }),
            fc.integer({ min: 0, max: 1e6 }),
          ),
          { selector: ([key]) => key, minLength: 1, maxLength: 30 },
        ),
        fc.nat(),
        (rows, which) => {
          const sumOf = (some: readonly (readonly [string, number])[]): string => {
            const forest = new HashForest();
            forest.begin(5, 0);
            for (const [key, ms] of some) {
              const rowKey = rowKeyOf(key);
              hash.key(rowKey);
              hash.stamp(rowOf(rowKey, ms, 'x'), 2);
              forest.add(hash.bucket, hash.a, hash.b);
            }
            forest.end();
            const { a, b } = forest.sum(5 * 16, 16);
            return `${a} ${b}`;
          };
          assert.equal(sumOf(rows), sumOf(rows.toReversed()));
          const at = which % rows.length;
          const changed = rows.map(([key, ms], i) => [key, i === at ? ms + 1 : ms] as const);
          assert.notEqual(sumOf(rows), sumOf(changed));
          assert.notEqual(sumOf(rows), sumOf(rows.toSpliced(at, 1)));
        },
      ),
    );
  });
});

/** Rows as text (`Pair.held`): kind and stamp are the bytes 1 to 21. */
function isSameStamp(a: string | undefined, b: string): boolean {
  return a?.split(',').slice(2, 22).join() === b.split(',').slice(2, 22).join();
}

function isAlive(row: string | undefined): boolean {
  return row !== undefined && row.split(',')[1] !== '0';
}
