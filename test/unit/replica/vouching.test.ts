/** The levels of vouching: what may be answered, and the note that keeps them. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mayListAll, VOUCH_FULL, VOUCH_LOOSE, Vouching, vouchingKey } from '../../../src/replica/vouching.ts';
import { ManualStorage } from '../../support/manual-storage.ts';

const none: ReadonlySet<string> = new Set();

/** Sixteen partitions of 1024 slots, of a node that has heard the others. */
function sure(mutants = none): Vouching {
  const vouching = new Vouching(16, mutants);
  vouching.setUnsure(false, false);
  return vouching;
}

describe('vouching', () => {
  test('answers nothing before the others were heard, and everything after', () => {
    const vouching = new Vouching(16, none);
    assert.deepEqual(
      [vouching.isWhole, vouching.mayAnswer(5, false), vouching.mayList(0, 16_384)],
      [false, false, false],
    );
    vouching.setUnsure(false, true);
    assert.deepEqual([vouching.mayAnswer(5, false), vouching.mayAnswer(5, true)], [true, false]);
    vouching.setUnsure(false, false);
    assert.deepEqual([vouching.isWhole, vouching.mayAnswer(5, true)], [true, true]);
  });

  test('is won back a partition at a time: first loosely, then for linearizable reads', () => {
    const vouching = sure();
    vouching.lose('lost', [2, 3], 77);
    assert.equal(vouching.isWhole, false);
    const levels = (slot: number): boolean[] => [
      vouching.mayAnswer(slot, false),
      vouching.mayAnswer(slot, true),
    ];
    assert.deepEqual(levels(1024), [true, true]);
    assert.deepEqual(levels(2048), [false, false]);
    assert.deepEqual(
      [vouching.mayList(0, 2048), vouching.mayList(0, 2049), vouching.mayList(4096, 5000)],
      [true, false, true],
    );
    assert.equal(mayListAll(vouching, [0, 2048, 4096, 5000]), true);
    assert.equal(mayListAll(vouching, [0, 2048, 3000, 3001]), false);
    assert.equal(vouching.raise(2, VOUCH_LOOSE), true);
    assert.equal(vouching.raise(2, VOUCH_LOOSE), false);
    assert.deepEqual(levels(2048), [true, false]);
    vouching.raise(2, VOUCH_FULL);
    assert.equal(vouching.isFull, false);
    vouching.raise(3, VOUCH_FULL);
    assert.deepEqual([vouching.isWhole, vouching.reason, vouching.note()], [true, undefined, undefined]);
  });

  test('a new disk answers loosely from the start', () => {
    const vouching = sure();
    vouching.lose('new', [0], 1);
    assert.deepEqual([vouching.mayAnswer(0, false), vouching.mayAnswer(0, true)], [true, false]);
  });

  test('the note keeps levels, reason and time, and one that is damaged is not believed', () => {
    const vouching = sure();
    vouching.lose('lost', [1, 7, 15], 1234);
    vouching.raise(7, VOUCH_LOOSE);
    const note = vouching.note();
    assert.ok(note !== undefined);
    for (let at = -1; at < note.length; at++) {
      const bytes = new Uint8Array(note);
      if (at >= 0) bytes[at]! ^= 1;
      const again = new Vouching(16, none);
      const storage = new ManualStorage(true, new Map([[vouchingKey, bytes]]));
      assert.equal(again.load(storage), at < 0, `byte ${at}`);
      if (at >= 0) continue;
      assert.deepEqual([again.reason, again.sinceWall], ['lost', 1234]);
      for (let partition = 0; partition < 16; partition++) {
        assert.equal(again.level(partition), vouching.level(partition));
      }
    }
  });
});
