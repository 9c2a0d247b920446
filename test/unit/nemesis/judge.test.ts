/** The judge of the nemesis: what it must find, and what it must not mistake for a fault. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Group, Op } from '../../nemesis/history.ts';
import { judge } from '../../nemesis/judge.ts';

let ids = 0;

function op(fields: Partial<Op> & Pick<Op, 'kind' | 'at' | 'end'>): Op {
  const id = ids++;
  return {
    id,
    group: 'loose',
    key: 'k',
    value: '',
    client: 'test',
    outcome: 'ok',
    code: '',
    seen: null,
    removed: false,
    expireAt: Number.POSITIVE_INFINITY,
    ...fields,
  };
}

function write(value: string, at: number, end: number, fields: Partial<Op> = {}): Op {
  return op({ kind: 'write', value: `${value}.`, at, end, ...fields });
}

function read(seen: string | null, at: number, end: number, fields: Partial<Op> = {}): Op {
  return op({ kind: 'read', seen: seen === null ? null : `${seen}.`, at, end, ...fields });
}

const remove = (at: number, end: number, fields: Partial<Op> = {}): Op =>
  op({ kind: 'delete', removed: true, at, end, ...fields });
const atEnd = (seen: string | null, group: Group = 'loose'): Op[] => [
  read(seen, 100_000, 100_001, { group }),
];

/** What was broken, without the examples. */
function promises(history: readonly Op[], final: readonly Op[]): string[] {
  return judge(history, final).broken.map(({ promise }) => promise);
}

const LOST = 'an acknowledged write was lost';
const RETURNED = 'a deleted key returned';

describe('the judge of the nemesis', () => {
  it('finds an acknowledged write that is gone, or hidden by an older one', () => {
    assert.deepEqual(promises([write('a', 0, 1)], atEnd(null)), [LOST]);
    assert.deepEqual(promises([write('a', 0, 1), write('b', 50, 51)], atEnd('a')), [LOST]);
    assert.deepEqual(promises([write('a', 0, 1)], atEnd('never-written')), [LOST]);
    assert.deepEqual(promises([write('a', 0, 1), write('b', 50, 51)], atEnd('b')), []);
  });

  it('finds it through whichever node it is missing', () => {
    const final = [...atEnd('a'), ...atEnd('a'), ...atEnd(null)];
    assert.deepEqual(promises([write('a', 0, 1)], final), [LOST]);
  });

  it('lets concurrent writes, and those of unknown outcome, win or lose', () => {
    const concurrent = [write('a', 0, 60), write('b', 50, 51)];
    assert.deepEqual(promises(concurrent, atEnd('a')), []);
    assert.deepEqual(promises(concurrent, atEnd('b')), []);
    const unknown = [write('a', 0, 1, { outcome: 'unknown' }), write('b', 50, 51)];
    assert.deepEqual(promises(unknown, atEnd('a')), []);
    assert.deepEqual(promises(unknown, atEnd('b')), []);
    assert.deepEqual(promises(unknown.slice(0, 1), atEnd(null)), []);
  });

  it('finds a write that failed and is seen all the same', () => {
    const failed = write('a', 0, 1, { outcome: 'fail', code: 'TRYAGAIN' });
    assert.deepEqual(promises([failed, read('a', 5, 6)], []), ['a write that failed was seen']);
    assert.deepEqual(promises([failed, read(null, 5, 6)], []), []);
  });

  it('finds deleted keys that return', () => {
    const gone = [write('a', 0, 1), remove(50, 51)];
    assert.deepEqual(promises(gone, atEnd('a')), [RETURNED]);
    assert.deepEqual(promises(gone, atEnd(null)), []);
    assert.deepEqual(promises([...gone, write('b', 90, 91)], atEnd(null)), [LOST]);
    assert.deepEqual(promises([write('a', 0, 1), remove(50, 51, { outcome: 'fail' })], atEnd('a')), []);
    assert.deepEqual(promises([write('a', 0, 1), remove(50, 51, { outcome: 'unknown' })], atEnd(null)), []);
  });

  it('finds expired keys that return, and takes none for lost', () => {
    const expiring = [write('a', 0, 1, { group: 'ttl', expireAt: 500 })];
    assert.deepEqual(promises(expiring, atEnd('a')), ['an expired key returned']);
    assert.deepEqual(promises(expiring, atEnd(null)), []);
    const reads = [...expiring, read('a', 400, 401), read('a', 3000, 3001)];
    assert.deepEqual(promises(reads, []), ['an expired key returned']);
    const longer = [write('a', 0, 1, { group: 'ttl', expireAt: 500_000 })];
    assert.deepEqual(promises(longer, atEnd(null)), [LOST]);
  });

  it('finds strict reads that go backwards, by two ways', () => {
    const strict = { group: 'strict' as const };
    const history = [
      write('a', 0, 1, strict),
      write('b', 10, 11, strict),
      read('b', 20, 21, strict),
      read('a', 30, 31, strict),
    ];
    const broken = promises(history, atEnd('b', 'strict'));
    assert.deepEqual(broken, ['a strict read went backwards', 'a strict key is not linearizable']);
    assert.deepEqual(promises(history.slice(0, 3), atEnd('b', 'strict')), []);
    const { readsBackwards, strictViolated, strictKeys } = judge(history, []);
    assert.deepEqual([readsBackwards, strictViolated, strictKeys], [1, 1, 1]);
  });

  it('finds a strict read that missed an acknowledged write, by two ways, and not one that overlapped it', () => {
    const strict = { group: 'strict' as const };
    const both = ['a strict read went backwards', 'a strict key is not linearizable'];
    const writes = [write('a', 0, 1, strict), write('b', 10, 20, strict)];
    assert.deepEqual(promises([...writes, read('a', 21, 22, strict)], []), both);
    assert.deepEqual(promises([...writes, read('a', 19, 22, strict)], []), []);
    const unknown = write('b', 10, 20, { ...strict, outcome: 'unknown' });
    assert.deepEqual(promises([writes[0]!, unknown, read('a', 21, 22, strict)], []), []);
    const seenOnce = [writes[0]!, unknown, read('b', 21, 22, strict), read('a', 23, 24, strict)];
    assert.deepEqual(promises(seenOnce, []), both);
  });

  it('judges strict keys with deletes, and with the reads at the end', () => {
    const strict = { group: 'strict' as const };
    const history = [write('a', 0, 1, strict), remove(10, 11, strict), read(null, 20, 21, strict)];
    assert.deepEqual(promises(history, atEnd(null, 'strict')), []);
    assert.ok(promises(history, atEnd('a', 'strict')).includes('a strict key is not linearizable'));
  });

  it('counts stale reads of other keys, and does not call them broken', () => {
    const history = [write('a', 0, 1), read(null, 20, 21), read('a', 30, 31)];
    const { staleReads, broken } = judge(history, atEnd('a'));
    assert.equal(staleReads, 1);
    assert.deepEqual(broken, []);
  });

  it('does not pass a key that could not be read', () => {
    const final = [read(null, 100_000, 100_001, { outcome: 'unknown', code: 'deadline' })];
    assert.deepEqual(promises([write('a', 0, 1)], final), ['a key could not be read at the end']);
  });
});
