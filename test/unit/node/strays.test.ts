/**
 * Rows of others, by hand: they are dropped when every owner was shown them, and not before; whatever arrives
 * meanwhile is shown too. Owners are played by the test.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { HashForest } from '../../../src/merkle/hash-forest.ts';
import type { NodeContext } from '../../../src/node/context.ts';
import { NODE_LIMITS_DEFAULT } from '../../../src/node/options.ts';
import { RepairMarks } from '../../../src/node/repair-marks.ts';
import { RepairPurses } from '../../../src/node/repair-purses.ts';
import { StrayMarks } from '../../../src/node/stray-marks.ts';
import { Strays } from '../../../src/node/strays.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { Replica } from '../../../src/replica/replica.ts';
import { place } from '../../../src/ring/placement.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { encodeRow, KIND_STRING } from '../../../src/rows/row.ts';
import { advanced, begun } from '../../../src/topology/changes.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { ManualStorage } from '../../support/manual-storage.ts';

const partitionCount = 64;
const wall = 1_700_000_000_000;
const ids = ['a', 'b', 'c', 'd', 'e'];
const members = ids.map((id) => ({
  id,
  weight: 1,
  zone: 'z',
  host: id,
  respPort: 1,
  peerPort: 2,
  httpPort: 0,
}));
const founding = Topology.founding(members, place(undefined, members, { partitionCount, replicaCount: 3 }));
const begin = begun(
  founding,
  { kind: 'join', member: { ...members[0]!, id: 'f', host: 'f' } },
  1,
  0,
).topology;
/** The page on which data are copied. */
const copying = begin.phase === 'copy' ? begin : advanced(begin);
const settled = advanced(advanced(copying));

interface Given {
  readonly partition: number;
  readonly owner: string;
  readonly done: (error: CodedError | undefined) => void;
}

/** Node `a`, and what lies in its cellar. */
class Cellar {
  topology: Topology;
  readonly storage = new ManualStorage(true);
  readonly replica: Replica;
  readonly marks = new StrayMarks(partitionCount);
  readonly strays: Strays;
  readonly given: Given[] = [];
  readonly purses = new RepairPurses(NODE_LIMITS_DEFAULT);
  doAllKnow = true;
  nowMs = 1000;
  #counter = 0;

  constructor(topology: Topology = founding, mutants: string[] = []) {
    this.topology = topology;
    this.replica = new Replica({
      storage: this.storage,
      durability: 'always',
      log: LOG_SILENT,
      wake: () => {},
      noteOfCommit: () => undefined,
      partitionCount,
      watcher: new RepairMarks(new HashForest(), false, this.marks),
      mutants: new Set(),
    });
    this.replica.start({ time: 0, logical: 0 });
    const of = (): Topology => this.topology;
    const context = {
      self: 'a',
      get topology(): Topology {
        return of();
      },
      mutants: new Set(mutants),
      replica: this.replica,
      now: () => this.nowMs,
    } as unknown as NodeContext;
    this.strays = new Strays(context, this.storage, this.marks, {
      give: (partition, owner, done) => this.given.push({ partition, owner, done }),
      doAllKnow: () => this.doAllKnow,
      purses: this.purses,
    });
  }

  put(name: string, text = 'v'): void {
    const key = rowKeyOf(name);
    const stamp = { time: wall, logical: 0, actor: 7, counter: ++this.#counter };
    const row = encodeRow(key, { kind: KIND_STRING, value: bytesOf(text), expireAt: 0 }, stamp);
    this.replica.merge(key, row, undefined, 'sync');
    this.replica.commit();
  }

  has(name: string): boolean {
    return this.storage.entries.has(rowKeyOf(name));
  }

  tick(ms = 5): void {
    this.nowMs += ms;
    this.purses.pass(this.nowMs, 0, 0, true);
    this.purses.release();
    this.strays.tick(this.nowMs);
    for (let i = 0; i < 20; i++) this.replica.commit();
  }

  ticks(count: number, ms = 5): void {
    for (let i = 0; i < count; i++) this.tick(ms);
  }

  change(topology: Topology): void {
    this.topology = topology;
    this.strays.topologyChanged();
  }
}

/** Keys of one partition that `a` does not hold, and of one that it holds, in both the old table and the new. */
function keysWhere(
  isHeld: (partition: number) => boolean,
  count: number,
): { names: string[]; partition: number } {
  const byPartition = new Map<number, string[]>();
  for (let i = 0; i < 100_000; i++) {
    const partition = slotOf(`key-${i}`) >> 8;
    if (!isHeld(partition)) continue;
    const names = byPartition.get(partition) ?? [];
    byPartition.set(partition, names);
    names.push(`key-${i}`);
    if (names.length === count) return { names, partition };
  }
  throw new Error('no such partition');
}

const foreign = keysWhere(
  (partition) => !founding.isHolder(partition, 'a') && !copying.isHolder(partition, 'a'),
  600,
);
const own = keysWhere((partition) => settled.isHolder(partition, 'a'), 5);
/** Of a partition that `a` loses to `f`. */
const lost = keysWhere(
  (partition) => founding.isHolder(partition, 'a') && !settled.isHolder(partition, 'a'),
  5,
);

function ownersOf(topology: Topology, partition: number): readonly string[] {
  return topology.read.preferenceListOfPartition(partition);
}

describe('rows of others', () => {
  it('that a late message brings are dropped when every owner was shown them', () => {
    const cellar = new Cellar();
    cellar.ticks(100);
    for (const name of [...own.names, ...foreign.names]) cellar.put(name);
    const shown: string[] = [];
    for (let i = 0; i < 3; i++) {
      cellar.ticks(20);
      assert.equal(cellar.strays.count, 1);
      assert.equal(cellar.given.length, 1, 'one owner after the other');
      const { partition, owner, done } = cellar.given.shift()!;
      assert.equal(partition, foreign.partition);
      for (const name of foreign.names) assert.ok(cellar.has(name), 'nothing is dropped yet');
      shown.push(owner);
      done(undefined);
    }
    assert.deepEqual(shown, ownersOf(founding, foreign.partition));
    cellar.ticks(20);
    for (const name of foreign.names) assert.equal(cellar.has(name), false);
    for (const name of own.names) assert.ok(cellar.has(name));
    assert.equal(cellar.strays.count, 0);
    assert.equal(cellar.strays.cleaned, 1);
    assert.equal(cellar.strays.rowsDropped, foreign.names.length);
    assert.equal(cellar.given.length, 0);
  });

  it('are found after a start, whoever brought them', () => {
    const cellar = new Cellar();
    const name = foreign.names[0]!;
    const key = rowKeyOf(name);
    const stamp = { time: wall, logical: 0, actor: 7, counter: 1 };
    cellar.storage.entries.set(
      key,
      encodeRow(key, { kind: KIND_STRING, value: bytesOf('v'), expireAt: 0 }, stamp),
    );
    cellar.ticks(200);
    assert.equal(cellar.strays.count, 1);
    assert.equal(cellar.given[0]?.partition, foreign.partition);
  });

  it('that arrive while owners are asked are shown to all of them', () => {
    const cellar = new Cellar();
    cellar.put(foreign.names[0]!);
    cellar.ticks(20);
    cellar.given.shift()!.done(undefined);
    cellar.put(foreign.names[1]!);
    const shown: string[] = [];
    for (let i = 0; i < 10 && cellar.has(foreign.names[0]!); i++) {
      for (const { owner, done } of cellar.given.splice(0)) {
        shown.push(owner);
        done(undefined);
      }
      cellar.ticks(20);
    }
    const owners = ownersOf(founding, foreign.partition);
    assert.deepEqual(shown.slice(-3), owners, 'begun anew with the first');
    assert.ok(shown.length > 3);
    assert.equal(cellar.has(foreign.names[1]!), false);
    assert.equal(cellar.strays.count, 0);
  });

  it('that arrive while others are dropped stay until they were shown', () => {
    const cellar = new Cellar();
    for (const name of foreign.names) cellar.put(name);
    cellar.storage.automatic = false;
    const complete = (): void => {
      while (cellar.storage.pending.length > 0) cellar.storage.complete();
    };
    cellar.tick();
    for (let i = 0; i < 3; i++) cellar.given.shift()!.done(undefined);
    complete();
    cellar.replica.commit();
    complete();
    cellar.replica.commit();
    assert.ok(cellar.storage.pending.length > 0, 'a page is on its way out');
    const again = foreign.names.find((name) => cellar.has(name))!;
    cellar.put(again, 'newer');
    complete();
    cellar.storage.automatic = true;
    cellar.ticks(20);
    assert.ok(cellar.has(again), 'the newer row is there, and has to be shown');
    assert.equal(cellar.given[0]?.owner, ownersOf(founding, foreign.partition)[0]);
    while (cellar.has(again)) {
      cellar.given.shift()!.done(undefined);
      cellar.ticks(20);
    }
    cellar.ticks(20);
    for (const name of foreign.names) assert.equal(cellar.has(name), false);
  });

  it('stay while an owner does not take them, and while not all members know the epoch', () => {
    const cellar = new Cellar();
    cellar.doAllKnow = false;
    cellar.put(foreign.names[0]!);
    cellar.ticks(20, 1000);
    assert.equal(cellar.given.length, 0);
    cellar.doAllKnow = true;
    cellar.tick();
    for (let i = 0; i < 5; i++) {
      const { done } = cellar.given.shift()!;
      done(new CodedError('unavailable', 'none', 'it is away'));
      cellar.tick();
      assert.equal(cellar.given.length, 0, 'left alone for a while');
      cellar.tick(1000);
    }
    assert.ok(cellar.has(foreign.names[0]!));
  });

  it('of a partition that is lost by a change are dropped when it is over, and not while it lasts', () => {
    const cellar = new Cellar();
    for (const name of lost.names) cellar.put(name);
    for (const topology of [copying, advanced(copying)]) {
      cellar.change(topology);
      cellar.ticks(20, 1000);
      assert.equal(cellar.given.length, 0);
    }
    cellar.change(settled);
    const owners = ownersOf(settled, lost.partition);
    assert.ok(owners.includes('f'));
    const shown: string[] = [];
    for (let i = 0; i < 100 && cellar.has(lost.names[0]!); i++) {
      cellar.tick();
      for (const { partition, owner, done } of cellar.given.splice(0)) {
        assert.equal(partition, lost.partition);
        shown.push(owner);
        done(undefined);
      }
    }
    assert.deepEqual(shown, owners);
    cellar.ticks(20);
    for (const name of lost.names) assert.equal(cellar.has(name), false);
  });

  it('are counted from the moment the owners change, not when it is their turn', () => {
    const partitions = Array.from({ length: partitionCount }, (_, partition) => partition);
    const isLost = (partition: number): boolean =>
      founding.isHolder(partition, 'a') && !settled.isHolder(partition, 'a');
    const mostly = partitions.filter(isLost).length;
    assert.ok(mostly > 4, 'more than are looked after at a time');
    const cellar = new Cellar(advanced(copying));
    cellar.ticks(20);
    assert.equal(cellar.strays.count, 0, 'what is not held at the start is no news');
    for (const name of lost.names) cellar.put(name);
    cellar.doAllKnow = false;
    cellar.change(settled);
    cellar.ticks(20);
    assert.equal(cellar.strays.count, mostly);
    cellar.doAllKnow = true;
    cellar.ticks(20);
    assert.equal(cellar.strays.count, 1, 'most were empty');
    for (let i = 0; i < 3; i++) {
      cellar.given.shift()!.done(undefined);
      cellar.ticks(20);
    }
    assert.equal(cellar.strays.count, 0);
  });

  it('stay if the partition is to be held here again before they are dropped', () => {
    const cellar = new Cellar(settled);
    for (const name of lost.names) cellar.put(name);
    cellar.tick();
    for (let i = 0; i < 2; i++) cellar.given.shift()!.done(undefined);
    const [last] = cellar.given.splice(0);
    cellar.change(
      new Topology({
        epoch: settled.epoch + 1,
        phase: 'copy',
        members: settled.members,
        read: settled.read,
        other: founding.read,
        change: settled.change,
      }),
    );
    last!.done(undefined);
    cellar.ticks(50, 1000);
    for (const name of lost.names) assert.ok(cellar.has(name));
    assert.equal(cellar.strays.count, 0);
  });

  it('are left where they are by a node that is no member any more', () => {
    const others = members.filter(({ id }) => id !== 'a');
    const read = place(undefined, others, { partitionCount, replicaCount: 3 });
    const cellar = new Cellar(Topology.founding(others, read));
    cellar.put(own.names[0]!);
    cellar.ticks(20, 1000);
    assert.equal(cellar.given.length, 0);
    assert.ok(cellar.has(own.names[0]!));
  });

  it('leave no horizon behind: it would say that they were deleted', () => {
    const cellar = new Cellar();
    const { horizons } = cellar.replica;
    for (const partition of [foreign.partition, own.partition]) {
      cellar.replica.raiseHorizon(partition, wall - 1000, { stored: () => undefined }, wall);
    }
    cellar.put(foreign.names[0]!);
    cellar.ticks(20);
    assert.equal(horizons.horizonOf(foreign.partition), wall - 1000);
    cellar.storage.automatic = false;
    for (let i = 0; i < 3; i++) cellar.given.shift()!.done(undefined);
    cellar.replica.commit();
    const [batch] = cellar.storage.pending;
    assert.ok(batch!.batch.some(({ key }) => key === horizons.noteKey(foreign.partition)));
    assert.equal(
      batch!.batch.some(({ key }) => key === rowKeyOf(foreign.names[0]!)),
      false,
      'it is forgotten durably before the first row goes',
    );
    cellar.storage.automatic = true;
    while (cellar.storage.pending.length > 0) cellar.storage.complete();
    cellar.ticks(20);
    assert.equal(cellar.has(foreign.names[0]!), false);
    assert.equal(horizons.horizonOf(foreign.partition), 0);
    assert.equal(horizons.fenceOf(foreign.partition), wall - 1000);
    assert.equal(horizons.horizonOf(own.partition), wall - 1000);
  });

  it('that are damaged go with the others', () => {
    const cellar = new Cellar();
    cellar.put(foreign.names[0]!);
    cellar.storage.entries.set(rowKeyOf(foreign.names[1]!), bytesOf('no'));
    const rotten = cellar.storage.entries.get(rowKeyOf(foreign.names[0]!))!;
    rotten[rotten.length - 1]! ^= 1;
    cellar.ticks(20);
    for (let i = 0; i < 3; i++) cellar.given.shift()!.done(undefined);
    cellar.ticks(20);
    assert.equal(cellar.has(foreign.names[0]!), false);
    assert.equal(cellar.has(foreign.names[1]!), false);
  });

  it('mutant stray-dropped-early: nobody is asked', () => {
    const cellar = new Cellar(founding, ['stray-dropped-early']);
    cellar.put(foreign.names[0]!);
    cellar.ticks(20);
    assert.equal(cellar.given.length, 0);
    assert.equal(cellar.has(foreign.names[0]!), false);
  });
});
