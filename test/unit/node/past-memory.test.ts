/** What a node remembers of members that come and go, and what it waits for from them. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { Link } from '../../../src/node/link.ts';
import { PastBaselines } from '../../../src/node/past-baselines.ts';
import { PastMemory } from '../../../src/node/past-memory.ts';
import { PastVisitors } from '../../../src/node/past-visitors.ts';
import type { Replica, StoredWaiter } from '../../../src/replica/replica.ts';
import type { Past } from '../../../src/wire/past-messages.ts';
import { ManualStorage } from '../../support/manual-storage.ts';
import { pumpedMember } from '../../support/pumped-cluster.ts';

const past: Past = { generation: 1, actor: 7, reserved: 100, time: 50, logical: 3 };

/** Notes as they lie in storage; `fails` makes the batches to come fail. */
class Notes {
  readonly entries: Map<string, Uint8Array> = new Map();
  fails = false;
  #waiting: StoredWaiter[] = [];

  get replica(): Replica {
    const note: Replica['note'] = (key, value, waiter) => {
      this.#waiting.push(waiter);
      if (this.fails) return;
      if (value === undefined) this.entries.delete(key);
      else this.entries.set(key, value);
    };
    return { note } as unknown as Replica;
  }

  commit(): void {
    const error = this.fails ? new CodedError('storage-full', 'fail', 'full') : undefined;
    for (const waiter of this.#waiting.splice(0)) waiter.stored(error);
  }

  get ids(): string[] {
    return [...this.entries.keys()].map((key) => key.slice(key.indexOf('peer') + 4)).sort();
  }
}

describe('cards of members that come and go', () => {
  function stored(memory: PastMemory, notes: Notes): string[] {
    memory.store(notes.replica);
    notes.commit();
    return notes.ids;
  }

  it('those who go are forgotten, durably; those who stay are not', () => {
    const memory = new PastMemory(['a', 'b']);
    const notes = new Notes();
    memory.marked('a', past);
    memory.marked('b', past);
    assert.deepEqual(stored(memory, notes), ['a', 'b']);
    memory.setMembers(['b', 'c']);
    assert.deepEqual(stored(memory, notes), ['b']);
    assert.equal(memory.of('a'), undefined);
    assert.equal(memory.tell('a', 1), undefined);
    assert.equal(memory.of('b')?.actor, 7);
    memory.marked('c', past);
    memory.marked('a', past);
    assert.deepEqual(stored(memory, notes), ['b', 'c']);
  });

  it('one that comes back was never met', () => {
    const memory = new PastMemory(['a']);
    memory.marked('a', past);
    memory.setMembers([]);
    memory.setMembers(['a']);
    assert.equal(memory.tell('a', 1), undefined);
    memory.marked('a', { ...past, generation: 0, actor: 9 });
    assert.equal(memory.tell('a', 2)?.actor, 9);
  });

  it('a card that could not be thrown away is thrown away later, but not that of one who came back', () => {
    const memory = new PastMemory(['a', 'b']);
    const notes = new Notes();
    memory.marked('a', past);
    memory.marked('b', past);
    stored(memory, notes);
    memory.setMembers([]);
    notes.fails = true;
    assert.deepEqual(stored(memory, notes), ['a', 'b']);
    memory.setMembers(['b']);
    notes.fails = false;
    memory.marked('b', { ...past, actor: 9 });
    assert.deepEqual(stored(memory, notes), ['b']);
    const read = new PastMemory(['a', 'b']);
    const storage = new ManualStorage(true, notes.entries);
    read.load(storage);
    assert.equal(read.of('a'), undefined);
    assert.equal(read.of('b')?.actor, 9);
  });

  /** The memory of the next life, from what lies in storage. */
  function reloaded(notes: Notes): PastMemory {
    const memory = new PastMemory(['a']);
    memory.load(new ManualStorage(true, notes.entries));
    return memory;
  }

  it('who asked is told the same after a restart, whatever it acknowledged since; its next life is told all', () => {
    const memory = new PastMemory(['a']);
    const notes = new Notes();
    memory.marked('a', past);
    assert.equal(memory.tell('a', 0xffff_fff1)?.time, 50);
    memory.acknowledged('a', 70, 1);
    stored(memory, notes);
    const next = reloaded(notes);
    assert.deepEqual(next.tell('a', 0xffff_fff1), past);
    assert.equal(next.tell('a', 2)?.time, 70);
  });

  it('who is met and asks late is told what was known when it was met, also after a restart; its next life all', () => {
    const memory = new PastMemory(['a']);
    const notes = new Notes();
    memory.marked('a', past);
    memory.met('a', 0xffff_fff1);
    memory.acknowledged('a', 70, 1);
    stored(memory, notes);
    const next = reloaded(notes);
    for (const one of [memory, next]) {
      one.met('a', 0xffff_fff1);
      one.acknowledged('a', 80, 1);
      assert.deepEqual([one.tell('a', 5), one.tell('a', 5)], [past, past]);
      one.met('a', 6);
      assert.equal(one.tell('a', 7)?.time, 80);
    }
  });

  it('so is who was never met before', () => {
    const memory = new PastMemory(['a']);
    const notes = new Notes();
    memory.met('a', 1);
    memory.acknowledged('a', 70, 1);
    stored(memory, notes);
    const next = reloaded(notes);
    for (const one of [memory, next]) {
      one.met('a', 1);
      assert.equal(one.tell('a', 0), undefined);
      assert.equal(one.tell('a', 0), undefined);
      assert.equal(one.tell('a', 2)?.time, 70);
    }
  });

  it('so is who was told that it was never met', () => {
    const memory = new PastMemory(['a']);
    const notes = new Notes();
    assert.equal(memory.tell('a', 1), undefined);
    memory.acknowledged('a', 70, 1);
    stored(memory, notes);
    const next = reloaded(notes);
    assert.equal(next.tell('a', 1), undefined);
    assert.equal(next.tell('a', 2)?.time, 70);
  });

  it('once it said where it stands the answer is not kept any more', () => {
    const memory = new PastMemory(['a']);
    const notes = new Notes();
    memory.marked('a', past);
    stored(memory, notes);
    const lengthOf = (): number => [...notes.entries.values()][0]!.length;
    const alone = lengthOf();
    memory.tell('a', 1);
    memory.acknowledged('a', 70, 1);
    stored(memory, notes);
    assert.ok(lengthOf() > alone);
    memory.marked('a', past);
    stored(memory, notes);
    assert.equal(lengthOf(), alone);
    assert.equal(reloaded(notes).tell('a', 1)?.time, 70);
  });
});

describe('what a life acknowledges before its question is heard', () => {
  const { time } = past;

  it('is not told to itself, however late and often it asks, and is told to the next', () => {
    const memory = new PastMemory(['a']);
    memory.marked('a', past);
    memory.met('a', 11);
    // Its first question was lost on the way.
    memory.acknowledged('a', time + 10, 0);
    assert.deepEqual(memory.tell('a', 1), past);
    memory.acknowledged('a', time + 20, 0);
    assert.deepEqual(memory.tell('a', 1), past);
    memory.met('a', 12);
    assert.deepEqual(memory.tell('a', 2), { ...past, time: time + 20, logical: 0 });
  });

  it('is told to the next life also if it never asked', () => {
    const memory = new PastMemory(['a']);
    memory.marked('a', past);
    memory.met('a', 13);
    memory.acknowledged('a', time, past.logical + 1);
    memory.met('a', 14);
    assert.deepEqual(memory.tell('a', 2), { ...past, logical: past.logical + 1 });
  });

  it('does not hide what its member is remembered by from before', () => {
    const memory = new PastMemory(['a']);
    memory.marked('a', past);
    memory.tell('a', 1);
    memory.acknowledged('a', time + 10, 0);
    memory.met('a', 15);
    memory.acknowledged('a', time + 5, 0);
    assert.equal(memory.tell('a', 2)?.time, time + 10);
  });

  it('of a member that was never met is no memory for itself, and one without an actor for the next life', () => {
    const memory = new PastMemory(['a']);
    memory.met('a', 10);
    memory.acknowledged('a', time, 1);
    assert.equal(memory.tell('a', 1), undefined);
    memory.met('a', 16);
    assert.deepEqual(memory.tell('a', 2), { generation: 0, actor: 0, reserved: 0, time, logical: 1 });
  });

  it('is stored at once if nothing was known, and read back', () => {
    const memory = new PastMemory(['a']);
    memory.met('a', 10);
    memory.acknowledged('a', time, 1);
    assert.ok(memory.isUrgent);
    const notes = new Notes();
    memory.store(notes.replica);
    notes.commit();
    const read = new PastMemory(['a']);
    read.load(new ManualStorage(true, notes.entries));
    read.met('a', 11);
    assert.equal(read.tell('a', 2)?.time, time);
  });
});

describe('members that are asked what they remember', () => {
  const link = (id: string): Link => new Link(pumpedMember(id), 0, 0);

  it('who goes is not waited for, who comes is somebody new, who stays is as he was', () => {
    const [a, b, c] = [link('a'), link('b'), link('c')];
    const visitors = new PastVisitors([a, b]);
    visitors.get('a')!.told = true;
    assert.equal(visitors.isAllTold, false);
    const { came, went } = visitors.follow([a, c]);
    assert.deepEqual([came.map((visitor) => visitor.link), went], [[c], ['b']]);
    assert.deepEqual([...visitors.ids()], ['a', 'c']);
    assert.ok(visitors.get('a')!.told && !visitors.isAllTold);
    assert.deepEqual(
      visitors.where(false).map((visitor) => visitor.link),
      [c],
    );
    visitors.follow([a]);
    assert.ok(visitors.isAllTold);
  });

  it('one that went and came back has another link; it has told if it did before', () => {
    const visitors = new PastVisitors([link('a'), link('b')]);
    visitors.get('a')!.told = true;
    const { came, went } = visitors.follow([link('a')]);
    assert.deepEqual([came.length, went], [1, ['a', 'b']]);
    assert.equal(visitors.get('a')!.told, true);
    visitors.follow([]);
    visitors.follow([link('a'), link('b')]);
    assert.deepEqual([visitors.get('a')!.told, visitors.get('b')!.told], [true, false]);
  });

  it('only those whose word is durable are told how far the disk has come, the longest waiting first', () => {
    const links = ['a', 'b', 'c', 'd', 'e'].map(link);
    for (const one of links) one.up = true;
    const visitors = new PastVisitors(links);
    assert.equal(visitors.dueForMark(past, 1000).length, 0);
    for (const [i, visitor] of [...visitors.all()].entries()) {
      visitor.isNoted = true;
      visitor.markedAt = 100 - i;
    }
    const due = visitors.dueForMark(past, 1000).map((visitor) => visitor.link.member.id);
    assert.deepEqual(due, ['e', 'd', 'c']);
    for (const visitor of visitors.all()) {
      visitor.marked = past;
      visitor.markedAt = 1000;
    }
    assert.equal(visitors.dueForMark(past, 2000).length, 0);
    assert.equal(visitors.dueForMark({ ...past, time: 51 }, 2000).length, 3);
    assert.equal(visitors.dueForMark(past, 11_000).length, 3);
  });

  it('a newcomer is held against the first word of the disk, and one that is gone against nothing', () => {
    const baselines = new PastBaselines();
    const opened = { ...past, time: 10 };
    const storage = new ManualStorage(true);
    assert.ok(baselines.load(storage, ['a'], opened));
    baselines.heard('a');
    baselines.add('b');
    assert.deepEqual(baselines.of('b'), opened);
    const renewed = { ...past, generation: 2, reserved: 0, time: 0 };
    baselines.begin(renewed);
    baselines.add('c');
    assert.deepEqual(baselines.of('c'), renewed);
    assert.ok(baselines.note() !== undefined);
    baselines.heard('b');
    baselines.heard('c');
    assert.equal(baselines.note(), undefined);
  });
});
