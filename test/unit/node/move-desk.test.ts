/**
 * The move desk by hand: who is asked for what, when, and what has to be durable before the change may go on. Anti-
 * entropy is played by the test.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import type { NodeContext } from '../../../src/node/context.ts';
import { MoveDesk } from '../../../src/node/move-desk.ts';
import { moveNoteKey, readMoveNote, writeMoveNote } from '../../../src/node/move-note.ts';
import { movesTo } from '../../../src/node/move-plan.ts';
import { NODE_LIMITS_DEFAULT } from '../../../src/node/options.ts';
import { RepairPurses } from '../../../src/node/repair-purses.ts';
import type { CompareDone } from '../../../src/node/repair-work.ts';
import { StrayMarks } from '../../../src/node/stray-marks.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { Replica } from '../../../src/replica/replica.ts';
import { VOUCH_FULL, Vouching } from '../../../src/replica/vouching.ts';
import { place } from '../../../src/ring/placement.ts';
import { advanced, begun } from '../../../src/topology/changes.ts';
import { Topology, type TopologyMember } from '../../../src/topology/topology.ts';
import { ManualStorage } from '../../support/manual-storage.ts';

const partitionCount = 64;

function member(id: string, zone = 'z'): TopologyMember {
  return { id, weight: 1, zone, host: id, respPort: 1, peerPort: 2, httpPort: 0 };
}

function founded(ids: readonly string[], replicaCount = 3): Topology {
  const members = ids.map((id) => member(id));
  return Topology.founding(members, place(undefined, members, { partitionCount, replicaCount }));
}

/** The page of a change on which data are copied. */
function copied(begin: Topology): Topology {
  return begin.phase === 'copy' ? begin : advanced(begin);
}

const joining = copied(
  begun(founded(['a', 'b', 'c', 'd']), { kind: 'join', member: member('e') }, 1, 0).topology,
);
const leaving = begun(founded(['a', 'b', 'c']), { kind: 'leave', id: 'c' }, 1, 0).topology;
const removing = begun(founded(['a', 'b', 'c', 'd', 'e']), { kind: 'remove', ids: ['e'] }, 1, 0).topology;

function zoneless(): string {
  return '';
}

interface Asked {
  readonly partition: number;
  readonly peer: string;
  readonly done: CompareDone;
}

/** A move desk and what it sees. */
class Mover {
  topology: Topology;
  readonly storage: ManualStorage;
  readonly replica: Replica;
  readonly vouching = new Vouching(partitionCount, new Set());
  readonly identity = { generation: 0 };
  readonly epochs: Map<string, number> = new Map();
  readonly dead: Set<string> = new Set();
  readonly asked: Asked[] = [];
  readonly desk: MoveDesk;
  hintRows = 0;
  nowMs = 1000;
  epochKnown: number;

  constructor(
    self: string,
    topology: Topology,
    options: { mutants?: string[]; storage?: ManualStorage; generation?: number } = {},
  ) {
    this.topology = topology;
    this.epochKnown = topology.epoch;
    this.identity.generation = options.generation ?? 0;
    for (const { id } of topology.members) this.epochs.set(id, topology.epoch);
    this.storage = options.storage ?? new ManualStorage(true);
    this.replica = new Replica({
      storage: this.storage,
      durability: 'always',
      log: LOG_SILENT,
      wake: () => {},
      noteOfCommit: () => undefined,
      partitionCount,
      mutants: new Set(),
    });
    this.replica.start({ time: 0, logical: 0 });
    const of = (): Topology => this.topology;
    const hintRows = (): number => this.hintRows;
    const context = {
      self,
      get topology(): Topology {
        return of();
      },
      mutants: new Set(options.mutants),
      replica: this.replica,
      vouching: this.vouching,
      identity: this.identity,
      hints: {
        get isEmpty(): boolean {
          return hintRows() === 0;
        },
      },
      links: {
        zoneOf: (id: string) => topology.member(id)?.zone ?? '',
        isLive: (id: string) => !this.dead.has(id),
        get: (id: string) => ({ id }),
        view: ({ id }: { id: string }) => ({ epoch: this.epochs.get(id) ?? 0 }),
      },
      now: () => this.nowMs,
    } as unknown as NodeContext;
    this.desk = new MoveDesk(context, this.storage, {
      repair: {
        open: true,
        compare: (partition, peer, done, how) => {
          assert.equal(how.moves, true);
          this.asked.push({ partition, peer, done });
        },
        give: () => assert.fail('nothing is given away while data move'),
        purses: new RepairPurses(NODE_LIMITS_DEFAULT),
      },
      strays: new StrayMarks(partitionCount),
      epochKnown: () => this.epochKnown,
    });
  }

  tick(ms = 5): void {
    this.nowMs += ms;
    this.desk.tick(this.nowMs);
    this.replica.commit();
  }

  /** Answers what was asked, and all that is asked then, until there is nothing more. */
  answerAll(rows = 1): string[] {
    const pairs: string[] = [];
    for (let left = 10_000; left > 0; left--) {
      const asked = this.asked.shift();
      if (asked === undefined) {
        this.tick();
        if (this.asked.length === 0) return pairs;
        continue;
      }
      pairs.push(`${asked.partition} ${asked.peer}`);
      asked.done(undefined, { ...nothing, rowsTaken: rows, rowBytesTaken: rows * 100 });
    }
    throw new Error('it comes to an end');
  }

  change(topology: Topology): void {
    const before = this.topology;
    this.topology = topology;
    this.desk.topologyChanged(before, topology);
  }
}

const nothing = {
  equal: true,
  differing: 0,
  oldestDifferenceTime: Number.POSITIVE_INFINITY,
  rowsSent: 0,
  rowsTaken: 0,
  rowBytesTaken: 0,
  horizonTheirs: 0,
};

/** What `e` has to ask: every partition it gains, of each old owner. */
function pairsOf(topology: Topology, self: string): string[] {
  const pairs: string[] = [];
  for (let partition = 0; partition < partitionCount; partition++) {
    const before = topology.read.preferenceListOfPartition(partition);
    const after = topology.next.preferenceListOfPartition(partition);
    if (!after.includes(self) || before.includes(self)) continue;
    for (const id of before) if (topology.has(id)) pairs.push(`${partition} ${id}`);
  }
  return pairs;
}

describe('the plan of what moves', () => {
  it('asks every old owner for each partition that a node gains, in turns', () => {
    const moves = movesTo('e', joining, zoneless);
    const pairs = moves.flatMap(({ partition, peers }) => peers.map((id) => `${partition} ${id}`));
    assert.deepEqual(pairs.toSorted(), pairsOf(joining, 'e').toSorted());
    assert.ok(moves.length >= 30, `${moves.length}`);
    const firsts = new Map<string, number>();
    for (const { peers } of moves) firsts.set(peers[0]!, (firsts.get(peers[0]!) ?? 0) + 1);
    for (const id of ['a', 'b', 'c', 'd']) assert.ok((firsts.get(id) ?? 0) > 3, `${id} gives its share`);
    for (const id of ['a', 'b', 'c', 'd']) assert.deepEqual(movesTo(id, joining, zoneless), []);
  });

  it('asks the own zone first', () => {
    const zoneOf = (id: string): string => (id === 'e' || id === 'b' ? 'near' : 'far');
    for (const { peers } of movesTo('e', joining, zoneOf)) {
      if (peers.includes('b')) assert.equal(peers[0], 'b');
    }
  });

  it('of a partition that only loses owners, the first that stays asks those who go', () => {
    const moves = [...movesTo('a', leaving, zoneless), ...movesTo('b', leaving, zoneless)];
    assert.deepEqual(
      moves.map(({ partition }) => partition).toSorted((x, y) => x - y),
      Array.from({ length: partitionCount }, (_, partition) => partition),
    );
    for (const { peers } of moves) assert.deepEqual(peers, ['c']);
    assert.deepEqual(movesTo('c', leaving, zoneless), []);
  });

  it('asks nobody who is gone for good, and nothing outside phase copy', () => {
    const moves = ['a', 'b', 'c', 'd'].flatMap((id) => movesTo(id, removing, zoneless));
    assert.ok(moves.length > 20);
    for (const { peers } of moves) {
      assert.equal(peers.includes('e'), false);
      assert.equal(peers.length, 2);
    }
    assert.deepEqual(movesTo('e', advanced(joining), zoneless), []);
    assert.deepEqual(movesTo('e', advanced(advanced(joining)), zoneless), []);
  });
});

describe('the note of what has moved', () => {
  it('says what was written, and nothing when it is damaged', () => {
    const done = new Uint8Array(partitionCount);
    for (const partition of [0, 7, 8, 33, 63]) done[partition] = 1;
    const note = writeMoveNote({ epoch: 2 ** 33, generation: 3, done });
    assert.deepEqual(readMoveNote(note, partitionCount), { epoch: 2 ** 33, generation: 3, done });
    assert.equal(readMoveNote(note, 128), undefined);
    for (let at = 0; at < note.length; at++) {
      const damaged = note.slice();
      damaged[at]! ^= 4;
      assert.equal(readMoveNote(damaged, partitionCount), undefined);
    }
  });
});

describe('a node that gains partitions', () => {
  it('asks every old owner, is settled when that is durably noted, and not before', () => {
    const mover = new Mover('e', joining);
    mover.storage.automatic = false;
    assert.equal(mover.desk.isSettled, false);
    const pairs = mover.answerAll();
    assert.deepEqual(pairs.toSorted(), pairsOf(joining, 'e').toSorted());
    const figures = mover.desk.figures();
    assert.equal(figures.partitionsDone, figures.partitions);
    assert.equal(figures.rows, pairs.length);
    assert.equal(figures.bytes, pairs.length * 100);
    assert.equal(mover.desk.isSettled, false, 'the note is not durable yet');
    for (let i = 0; i < 3; i++) {
      mover.tick(1000);
      while (mover.storage.pending.length > 0) mover.storage.complete();
    }
    assert.equal(mover.desk.isSettled, true);
    mover.tick();
    assert.deepEqual(mover.asked, []);
  });

  it('asks one old owner after the other, of a few partitions at a time', () => {
    const mover = new Mover('e', joining);
    mover.tick();
    assert.equal(new Set(mover.asked.map(({ partition }) => partition)).size, mover.asked.length);
    assert.ok(mover.asked.length > 1 && mover.asked.length < 30);
    const { partition, peer, done } = mover.asked.shift()!;
    done(undefined, nothing);
    const next = mover.asked.at(-1)!;
    assert.equal(next.partition, partition);
    assert.notEqual(next.peer, peer);
  });

  it('asks nobody before all members know the epoch, this node too', () => {
    for (const late of ['a', 'e']) {
      const mover = new Mover('e', joining);
      if (late === 'e') mover.epochKnown--;
      else mover.epochs.set(late, joining.epoch - 1);
      for (let i = 0; i < 10; i++) mover.tick(1000);
      assert.deepEqual(mover.asked, [], `${late} is behind`);
      assert.equal(mover.desk.isSettled, false);
      mover.epochKnown = joining.epoch;
      mover.epochs.set(late, joining.epoch);
      mover.tick();
      assert.ok(mover.asked.length > 0);
    }
  });

  it('goes on after a restart where it was, and from the start on another disk', () => {
    const mover = new Mover('e', joining);
    mover.answerAll();
    mover.tick(1000);
    const some = new Uint8Array(partitionCount);
    const whole = pairsOf(joining, 'e').map((pair) => Number(pair.split(' ')[0]))[0]!;
    some[whole] = 1;
    const note = writeMoveNote({ epoch: joining.epoch, generation: 0, done: some });
    const resumed = (generation: number, epoch = joining.epoch): string[] => {
      const storage = new ManualStorage(true);
      storage.entries.set(
        moveNoteKey,
        epoch === joining.epoch ? note : writeMoveNote({ epoch, generation: 0, done: some }),
      );
      return new Mover('e', joining, { storage, generation }).answerAll();
    };
    const isOfWhole = (pair: string): boolean => pair.startsWith(`${whole} `);
    assert.equal(resumed(0).some(isOfWhole), false);
    assert.equal(resumed(0).length, pairsOf(joining, 'e').length - 3);
    assert.equal(resumed(1).length, pairsOf(joining, 'e').length, 'the disk was lost since');
    assert.equal(resumed(0, joining.epoch - 1).length, pairsOf(joining, 'e').length, 'of another epoch');
    // A restart that finds everything done is settled.
    const again = new Mover('e', joining, { storage: mover.storage });
    again.tick();
    assert.deepEqual(again.asked, []);
    assert.equal(again.desk.isSettled, true);
  });

  it('begins anew when the disk is lost on the way, and waits until what it lost is vouched for', () => {
    const mover = new Mover('e', joining);
    mover.answerAll();
    mover.tick(1000);
    assert.equal(mover.desk.isSettled, true);
    mover.identity.generation = 1;
    const gained = movesTo('e', joining, zoneless).map(({ partition }) => partition);
    mover.vouching.lose('lost', gained, 0);
    assert.equal(mover.desk.isSettled, false);
    assert.equal(mover.answerAll().length, pairsOf(joining, 'e').length);
    mover.tick(1000);
    assert.equal(mover.desk.isSettled, false, 'writes may have counted on the disk that is lost');
    for (const partition of gained) mover.vouching.raise(partition, VOUCH_FULL);
    assert.equal(mover.desk.isSettled, true);
  });

  it('passes over an owner that is away, names it, and is not settled before it came', () => {
    const mover = new Mover('e', joining);
    mover.dead.add('b');
    const pairs = mover.answerAll();
    assert.equal(
      pairs.some((pair) => pair.endsWith(' b')),
      false,
    );
    mover.tick(1000);
    assert.equal(mover.desk.isSettled, false);
    assert.deepEqual(mover.desk.figures().waitsFor, ['b']);
    mover.dead.clear();
    assert.deepEqual(mover.desk.figures().waitsFor, []);
    assert.deepEqual(
      mover.answerAll().toSorted(),
      pairsOf(joining, 'e')
        .filter((pair) => pair.endsWith(' b'))
        .toSorted(),
    );
    mover.tick(1000);
    assert.equal(mover.desk.isSettled, true);
  });

  it('leaves an owner that failed alone for a while, and asks it again', () => {
    const mover = new Mover('e', joining);
    mover.tick();
    const { partition, peer, done } = mover.asked.shift()!;
    done(new CodedError('unavailable', 'none', 'not now'), undefined);
    mover.tick();
    assert.equal(
      mover.asked.some((asked) => asked.peer === peer && asked.partition === partition),
      false,
    );
    mover.tick(600);
    const pairs = mover.answerAll();
    assert.ok(pairs.includes(`${partition} ${peer}`));
  });

  it('heeds no answer to what was asked in an epoch before', () => {
    const mover = new Mover('e', joining);
    mover.tick();
    const asked = mover.asked.splice(0);
    const { members, read, other, change, epoch } = joining;
    mover.change(new Topology({ epoch: epoch + 1, phase: 'copy', members, read, other, change }));
    for (const { done } of asked) done(undefined, nothing);
    for (const { id } of members) mover.epochs.set(id, epoch + 1);
    mover.epochKnown = epoch + 1;
    assert.equal(mover.answerAll().length, pairsOf(joining, 'e').length);
  });

  it('takes the note away when the change is over', () => {
    const mover = new Mover('e', joining);
    mover.answerAll();
    mover.tick(1000);
    assert.ok(mover.storage.entries.has(moveNoteKey));
    mover.change(advanced(joining));
    mover.tick();
    assert.equal(mover.storage.entries.has(moveNoteKey), false);
    assert.equal(mover.desk.isSettled, true);
  });
});

describe('a node that gains nothing', () => {
  it('is settled at once, but one that goes only when it owes nobody a hint', () => {
    const mover = new Mover('c', leaving);
    assert.equal(mover.desk.isSettled, true);
    mover.hintRows = 1;
    mover.change(advanced(leaving));
    assert.equal(mover.desk.isSettled, false);
    mover.hintRows = 0;
    assert.equal(mover.desk.isSettled, true);
    const staying = new Mover('a', leaving);
    staying.hintRows = 1;
    staying.change(advanced(leaving));
    assert.equal(staying.desk.isSettled, true);
  });
});

describe('mutants', () => {
  it('copy-from-one: only one old owner is asked', () => {
    const pairs = new Mover('e', joining, { mutants: ['copy-from-one'] }).answerAll();
    assert.equal(pairs.length, movesTo('e', joining, zoneless).length);
  });

  it('copy-before-all-know: nobody is waited for', () => {
    const mover = new Mover('e', joining, { mutants: ['copy-before-all-know'] });
    mover.epochs.set('a', 0);
    mover.tick();
    assert.ok(mover.asked.length > 0);
  });
});
