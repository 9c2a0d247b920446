/**
 * Lost, restored and damaged disks: what a node does when it finds that its disk is not the one it had.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ByteString } from '../../../src/base/bytes.ts';
import { readU48 } from '../../../src/base/bytes.ts';
import { identityKey } from '../../../src/node/identity.ts';
import { baselinesKey } from '../../../src/node/past-baselines.ts';
import type { NodeStatus } from '../../../src/node/status.ts';
import { Horizons } from '../../../src/replica/horizons.ts';
import { vouchingKey } from '../../../src/replica/vouching.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { compareRowStamps, rowActor, rowKind } from '../../../src/rows/row.ts';
import { PumpedCluster, type PumpedOptions, textOf } from '../../support/pumped-cluster.ts';

const strict = { policy: { r: 2, w: 2, strict: true } };
const loose = { policy: { r: 2, w: 2, strict: false } };
const one = { policy: { r: 1, w: 1, strict: false } };

/** Longer than a start waits for the others' word. */
const waitMs = 1200;

class Disks extends PumpedCluster {
  constructor(options: PumpedOptions = {}) {
    super({ partitionCount: 16, limits: { repairIntervalMs: 60_000 }, ...options });
    this.advance(600);
  }

  past(id: string): NonNullable<NodeStatus['past']> {
    const { past } = this.node(id).status();
    assert.ok(past !== undefined);
    return past;
  }

  copy(id: string): Map<ByteString, Uint8Array> {
    return new Map(this.seat(id).storage.entries);
  }

  /** Kills a node and starts it on another disk. */
  swap(id: string, entries: ReadonlyMap<ByteString, Uint8Array> = new Map()): void {
    this.kill(id);
    this.put(id, entries);
    this.restart(id);
  }

  /** Puts another disk into a node that is not running. */
  put(id: string, entries: ReadonlyMap<ByteString, Uint8Array> = new Map()): void {
    const held = this.seat(id).storage.entries;
    held.clear();
    for (const [key, value] of entries) held.set(key, value);
  }

  actor(id: string): number {
    const note = this.seat(id).storage.entries.get(identityKey);
    assert.ok(note !== undefined);
    return readU48(note, 0);
  }

  alarms(id: string): number {
    return this.seat(id).events.filter((event) => event === 'disk-lost-rows').length;
  }

  /** Lets time pass until a node is whole. */
  untilWhole(id: string): void {
    for (let i = 0; i < 100 && !this.past(id).whole; i++) this.advance(100);
    assert.equal(this.past(id).whole, true, `${id} is whole again`);
  }

  /** What a read answers: the text, undefined for no such key, or the code of its error. */
  outcome(id: string, key: string, options: typeof strict): string | undefined {
    const call = this.read(id, key, options);
    this.pump();
    if (!call.isDone) this.advance(1500);
    assert.equal(call.isDone, true);
    return call.error?.code ?? textOf(call.value);
  }
}

describe('a founding cluster', () => {
  test('vouches for everything as soon as everybody said that they never met', () => {
    const cluster = new Disks();
    for (const id of cluster.ids) {
      assert.equal(cluster.past(id).state, 'sure');
      assert.equal(cluster.past(id).generation, 0);
      assert.equal(cluster.seat(id).storage.entries.has(vouchingKey), false);
      assert.equal(cluster.seat(id).storage.entries.has(baselinesKey), false);
    }
    cluster.mustWrite('n1', 'k', 'v', strict);
    assert.equal(cluster.mustRead('n2', 'k', strict), 'v');
    cluster.finish();
  });

  test('counts the members that did not tell since the start: one of them may know of a loss', () => {
    const cluster = new Disks();
    cluster.kill('n1');
    cluster.kill('n3');
    cluster.restart('n1');
    cluster.advance(waitMs);
    const { whole, unheard } = cluster.past('n1');
    assert.deepEqual([whole, unheard], [true, 1]);
    cluster.restart('n3');
    cluster.advance(waitMs);
    assert.equal(cluster.past('n1').unheard, 0);
    cluster.finish();
  });

  test('with one member that never came up serves all but linearizable reads, until that one comes', () => {
    const cluster = new Disks();
    for (const id of cluster.ids) cluster.kill(id);
    for (const id of cluster.ids) cluster.put(id);
    cluster.restart('n1');
    cluster.restart('n2');
    cluster.advance(waitMs);
    cluster.mustWrite('n1', 'k', 'v', loose);
    assert.equal(cluster.mustRead('n2', 'k', loose), 'v');
    assert.equal(cluster.past('n1').state, 'new');
    assert.equal(cluster.outcome('n1', 'k', strict), 'quorum-unreachable');
    // The same after a restart: the disk is not new to look at any more.
    cluster.kill('n1');
    cluster.restart('n1');
    cluster.advance(waitMs);
    assert.equal(cluster.past('n1').state, 'new');
    assert.equal(cluster.outcome('n1', 'k', strict), 'quorum-unreachable');
    cluster.restart('n3');
    cluster.advance(waitMs);
    for (const id of cluster.ids) assert.equal(cluster.past(id).state, 'sure');
    assert.equal(cluster.mustRead('n3', 'k', strict), 'v');
    assert.equal(cluster.alarms('n1') + cluster.alarms('n2') + cluster.alarms('n3'), 0);
    cluster.finish();
  });
});

describe('an empty disk', () => {
  /** An acknowledged strict write that n3 missed; then n1 loses its disk while n2 cannot be reached. */
  function amnesia(mutants: readonly string[] = []): Disks {
    const cluster = new Disks({ mutants });
    cluster.isolate('n3');
    cluster.mustWrite('n1', 'k', 'v', strict);
    cluster.advance(300);
    cluster.healAll();
    cluster.isolate('n2');
    cluster.swap('n1');
    cluster.advance(waitMs);
    return cluster;
  }

  test('is not counted in a read quorum', () => {
    const cluster = amnesia();
    assert.equal(cluster.past('n1').state, 'lost');
    // n3 can reach it, and says why that does not help.
    const refused = cluster.read('n3', 'k', strict);
    cluster.pump();
    assert.match(refused.error?.message ?? '', /^only 1 of 3 .* can answer .* 1 more is reached and may not/);
    const said = cluster.node('n3').status();
    const n1 = said.members.find(({ id }) => id === 'n1')!;
    assert.ok(n1.rebuildingMs > 0 && n1.lagMs >= n1.rebuildingMs, `its lag is not 0 but ${n1.lagMs}`);
    const reason = said.reasons.find(({ code }) => code === 'rebuilding');
    assert.deepEqual(
      [reason?.subject, reason?.severity, said.partitions.onRebuilding],
      ['n1', 'critical', 16],
    );
    for (const id of ['n1', 'n3']) {
      assert.equal(cluster.outcome(id, 'k', strict), 'quorum-unreachable');
      const write = cluster.write(id, 'k', 'w', strict);
      cluster.advance(1500);
      assert.notEqual(write.error, undefined, 'a strict write learns the greatest stamp first');
    }
    cluster.healAll();
    cluster.untilWhole('n1');
    assert.equal(cluster.mustRead('n1', 'k', strict), 'v');
    cluster.advance(2500);
    assert.equal(
      cluster
        .node('n3')
        .status()
        .members.find(({ id }) => id === 'n1')!.rebuildingMs,
      0,
    );
    cluster.finish();
  });

  test('is counted under the mutant, and the write is gone', () => {
    assert.equal(amnesia(['amnesiac-answers']).outcome('n3', 'k', strict), undefined);
  });

  test('is made whole: rows equal, a new actor, its notes removed, the alarm and the end of it told', () => {
    const cluster = new Disks();
    for (let i = 0; i < 40; i++) cluster.mustWrite(`n${(i % 3) + 1}`, `k${i}`, `v${i}`);
    cluster.mustWrite('n2', 'k7', undefined);
    const actorBefore = cluster.actor('n1');
    cluster.swap('n1');
    assert.equal(cluster.past('n1').state, 'lost');
    assert.equal(cluster.alarms('n1'), 1);
    cluster.untilWhole('n1');
    assert.notEqual(cluster.actor('n1'), actorBefore);
    assert.equal(cluster.past('n1').generation, 1);
    assert.ok(cluster.seat('n1').events.includes('disk-whole'));
    assert.ok(cluster.past('n1').rowsTaken >= 40, `${cluster.past('n1').rowsTaken} rows`);
    cluster.advance(1500);
    assert.equal(cluster.seat('n1').storage.entries.has(vouchingKey), false);
    for (let i = 0; i < 40; i++) {
      const held = cluster.stored('n1', `k${i}`);
      assert.ok(held !== undefined, `k${i}`);
      assert.equal(compareRowStamps(held, cluster.stored('n2', `k${i}`)!), 0);
    }
    assert.equal(cluster.mustRead('n1', 'k7', one), undefined);
    cluster.finish();
  });

  test('stamps go on above those of the lost life although the clock went back', () => {
    const cluster = new Disks({ nodes: 3 });
    cluster.seat('n1').clock.wallMs += 300;
    cluster.mustWrite('n1', 'k', 'old', loose);
    cluster.advance(300);
    cluster.seat('n1').clock.wallMs -= 300;
    cluster.swap('n1');
    cluster.advance(waitMs);
    cluster.mustWrite('n1', 'k', 'new', loose);
    assert.equal(cluster.mustRead('n2', 'k', loose), 'new');
    cluster.finish();
  });

  test('a flush is known again before a read is answered', () => {
    const cluster = new Disks();
    cluster.mustWrite('n2', 'k', 'v');
    const flush = cluster.flush('n1');
    cluster.pump();
    assert.equal(flush.error, undefined);
    cluster.swap('n1');
    cluster.untilWhole('n1');
    assert.equal(cluster.mustRead('n1', 'k', one), undefined);
    cluster.finish();
  });

  test('lists and counts nothing away while it is being made whole', () => {
    const cluster = new Disks();
    const keys = Array.from({ length: 30 }, (_, i) => `k${i}`);
    for (const key of keys) cluster.mustWrite('n1', key, 'v');
    cluster.swap('n1');
    assert.equal(cluster.past('n1').vouched, 0);
    for (const id of cluster.ids) {
      assert.deepEqual(cluster.mustScan(id, 100).sort(), [...keys].sort());
      const count = cluster.count(id);
      cluster.pump();
      assert.equal(count.value, 30);
    }
    cluster.finish();
  });

  test('a crash during the rebuild resumes it', () => {
    const cluster = new Disks();
    for (let i = 0; i < 20; i++) cluster.mustWrite('n2', `k${i}`, 'v');
    cluster.isolate('n3');
    cluster.swap('n1');
    cluster.heal('n1', 'n2');
    cluster.heal('n2', 'n1');
    // From n2 alone: good enough for what is not linearizable.
    for (let i = 0; i < 100 && cluster.past('n1').vouchedLoosely < 16; i++) cluster.advance(100);
    assert.equal(cluster.past('n1').vouchedLoosely, 16);
    assert.equal(cluster.mustRead('n1', 'k3', one), 'v');
    cluster.advance(1500);
    const actor = cluster.actor('n1');
    cluster.kill('n1');
    cluster.restart('n1');
    cluster.advance(waitMs);
    assert.equal(cluster.past('n1').state, 'lost');
    assert.equal(cluster.actor('n1'), actor, 'one loss, one new actor');
    assert.equal(cluster.past('n1').generation, 1);
    assert.equal(cluster.outcome('n1', 'k3', strict), 'quorum-unreachable');
    cluster.healAll();
    cluster.untilWhole('n1');
    assert.equal(cluster.alarms('n1'), 1);
    cluster.finish();
  });
});

describe('an older copy of the disk', () => {
  test('is found out, gets a new actor, and brings nothing back', () => {
    const cluster = new Disks();
    for (let i = 0; i < 10; i++) cluster.mustWrite('n1', `k${i}`, 'old');
    cluster.advance(1000);
    const copy = cluster.copy('n1');
    for (let i = 0; i < 5; i++) cluster.mustWrite('n1', `k${i}`, 'new');
    cluster.mustWrite('n1', 'k9', undefined);
    cluster.advance(500);
    const actor = cluster.actor('n1');
    cluster.swap('n1', copy);
    assert.equal(cluster.past('n1').state, 'lost');
    assert.match(cluster.past('n1').reason, /older copy/);
    cluster.untilWhole('n1');
    assert.notEqual(cluster.actor('n1'), actor);
    for (let i = 0; i < 10; i++) {
      assert.equal(cluster.mustRead('n1', `k${i}`, one), i < 5 ? 'new' : i === 9 ? undefined : 'old');
    }
    assert.equal(rowKind(cluster.stored('n1', 'k9')!), 0);
    cluster.finish();
  });

  test('that lacks one acknowledged row is found out by the member it was acknowledged to', () => {
    const cluster = new Disks();
    cluster.mustWrite('n2', 'k', 'one');
    cluster.advance(600);
    const copy = cluster.copy('n1');
    // Acknowledged to n2, and no mark was told since.
    cluster.mustWrite('n2', 'k', 'two');
    cluster.swap('n1', copy);
    assert.equal(cluster.past('n1').state, 'lost');
    cluster.untilWhole('n1');
    assert.equal(cluster.mustRead('n1', 'k', one), 'two');
    cluster.finish();
  });

  test('a disk that lacks nothing is taken for what it is, after kill -9 in the middle of writes as well', () => {
    const cluster = new Disks();
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 5; i++) cluster.mustWrite(`n${(i % 3) + 1}`, `k${i}`, `${round}`);
      // Sent to the others, and never stored here.
      cluster.seat('n1').storage.automatic = false;
      cluster.write('n1', 'k0', 'lost', loose);
      cluster.pump();
      cluster.kill('n1');
      cluster.restart('n1');
      cluster.advance(300);
      assert.equal(cluster.past('n1').state, 'sure');
      assert.equal(cluster.alarms('n1'), 0);
    }
  });

  test('is found out although it went on alone first, and was started again', () => {
    const cluster = new Disks();
    const copy = cluster.copy('n1');
    for (let i = 0; i < 5; i++) cluster.mustWrite('n2', `k${i}`, 'v');
    cluster.advance(500);
    cluster.isolate('n1');
    cluster.swap('n1', copy);
    cluster.advance(waitMs);
    // Nobody can say otherwise: it takes itself for whole, and rows stamped now reach its disk.
    cluster.mustWrite('n1', 'alone', 'v', one);
    cluster.kill('n1');
    cluster.restart('n1');
    cluster.advance(waitMs);
    cluster.healAll();
    cluster.advance(300);
    assert.equal(cluster.alarms('n1'), 1);
    cluster.untilWhole('n1');
    assert.equal(cluster.mustRead('n1', 'k3', one), 'v');
    assert.equal(cluster.mustRead('n2', 'alone', { policy: { r: 3, w: 1, strict: false } }), 'v');
    cluster.finish();
  });

  /** Dots of rows written at n1 before its copy was restored, and after. */
  function reused(mutants: readonly string[]): boolean {
    const cluster = new Disks({ mutants });
    const copy = cluster.copy('n1');
    // Another life in between, whose counters begin where those of the copy end.
    cluster.kill('n1');
    cluster.restart('n1');
    cluster.advance(300);
    cluster.mustWrite('n1', 'before', 'v');
    const before = cluster.stored('n2', 'before')!;
    cluster.swap('n1', copy);
    cluster.advance(300);
    cluster.mustWrite('n1', 'after', 'v');
    const after = cluster.stored('n2', 'after')!;
    return (
      rowActor(before) === rowActor(after) &&
      readU48(before.subarray(16), 0) === readU48(after.subarray(16), 0)
    );
  }

  test('issues no dot a second time', () => {
    assert.equal(reused([]), false);
    assert.equal(reused(['actor-kept-after-loss']), true);
  });
});

describe('a disk that knows of its loss', () => {
  test('is not believed, and says so once', () => {
    const cluster = new Disks();
    cluster.mustWrite('n2', 'k', 'v');
    cluster.kill('n1');
    cluster.restart('n1', 'the log has a hole');
    assert.equal(cluster.past('n1').state, 'lost');
    assert.equal(cluster.past('n1').reason, 'the log has a hole');
    assert.equal(cluster.seat('n1').storage.loss, undefined, 'the engine need not say so again');
    cluster.untilWhole('n1');
    cluster.finish();
  });

  test('its horizons take nothing away from those who hold what it lost', () => {
    const cluster = new Disks();
    cluster.mustWrite('n2', 'k', 'v');
    cluster.kill('n1');
    const { entries } = cluster.seat('n1').storage;
    // The round was committed here, the others were not told of it yet, and then rows of the log were lost.
    const partition = cluster.table.partitionOfSlot(slotOf('k'));
    const horizons = new Horizons(cluster.table.partitionCount, new Set());
    horizons.raiseFence(partition, cluster.seat('n1').clock.wallMs);
    horizons.raiseHorizon(partition, cluster.seat('n1').clock.wallMs);
    entries.set(horizons.noteKey(partition), horizons.noteOf(partition));
    entries.delete(rowKeyOf('k'));
    cluster.advance(20);
    cluster.restart('n1', 'the log has a hole');
    cluster.untilWhole('n1');
    for (const id of cluster.ids) assert.equal(textOf(cluster.stored(id, 'k')), 'v', id);
    assert.equal(cluster.mustRead('n1', 'k', strict), 'v');
    cluster.kill('n1');
    assert.equal(new Horizons(64, new Set()).load(cluster.seat('n1').storage), true);
    const kept = new Horizons(cluster.table.partitionCount, new Set());
    kept.load(cluster.seat('n1').storage);
    assert.equal(kept.horizonOf(partition), 0, 'it is forgotten for good');
    cluster.finish();
  });

  for (const [name, note, bytesMin] of [
    ['identity', identityKey],
    ['clock', '\xffclock'],
    ['vouching', vouchingKey],
    ['baselines', baselinesKey],
    ['floor', '\xfffloor', 24],
    ['horizon', '\xffhorizon\x00\x05', 16],
  ] as const) {
    test(`a damaged ${name} note is a loss`, () => {
      const cluster = new Disks();
      cluster.mustWrite('n1', 'k', 'v');
      cluster.kill('n1');
      const { entries } = cluster.seat('n1').storage;
      const bytes = new Uint8Array(entries.get(note) ?? new Uint8Array(bytesMin ?? 20));
      bytes[1]! ^= 4;
      entries.set(note, bytes);
      cluster.restart('n1');
      assert.equal(cluster.past('n1').state, 'lost');
      cluster.untilWhole('n1');
      cluster.finish();
    });
  }
});

describe('a start without the others', () => {
  test('goes on after a bounded time, and answers what it holds', () => {
    const cluster = new Disks();
    cluster.mustWrite('n1', 'k', 'v');
    for (const id of cluster.ids) cluster.kill(id);
    cluster.restart('n1');
    const early = cluster.read('n1', 'k', one);
    assert.equal(early.error?.code, 'unavailable');
    cluster.advance(waitMs);
    assert.equal(cluster.mustRead('n1', 'k', one), 'v');
    cluster.restart('n2');
    cluster.restart('n3');
    cluster.advance(waitMs);
    assert.equal(cluster.mustRead('n1', 'k', strict), 'v');
    cluster.finish();
  });

  test('no stamp is issued before the others were heard', () => {
    const cluster = new Disks();
    cluster.kill('n1');
    for (const other of ['n2', 'n3']) {
      cluster.hold(other, 'n1');
      cluster.hold('n1', other);
    }
    cluster.restart('n1');
    const write = cluster.write('n1', 'k', 'v');
    assert.equal(write.error?.code, 'unavailable');
    assert.equal(write.error?.outcome, 'fail');
    cluster.releaseAll();
    cluster.pump();
    cluster.mustWrite('n1', 'k', 'v');
    cluster.finish();
  });
});

describe('a row that fails its checksum', () => {
  function damaged(mutants: readonly string[] = []): Disks {
    const cluster = new Disks({ mutants });
    cluster.mustWrite('n1', 'k', 'value');
    cluster.advance(300);
    const { entries } = cluster.seat('n3').storage;
    const row = new Uint8Array(entries.get(rowKeyOf('k'))!);
    row[row.length - 1]! ^= 1;
    entries.set(rowKeyOf('k'), row);
    return cluster;
  }

  test('is never served, and is mended soon when another node met it', () => {
    const cluster = damaged();
    // n1 coordinates and asks everybody.
    const all = { policy: { r: 3, w: 1, strict: false } };
    const call = cluster.read('n1', 'k', all);
    cluster.pump();
    assert.equal(call.isDone, true);
    assert.notEqual(call.error, undefined);
    cluster.advance(300);
    assert.equal(cluster.mustRead('n1', 'k', all), 'value');
    assert.equal(compareRowStamps(cluster.stored('n3', 'k')!, cluster.stored('n1', 'k')!), 0);
    assert.equal(cluster.mustRead('n3', 'k', one), 'value');
    cluster.finish();
  });

  test('is mended without anybody reading it', () => {
    const cluster = damaged();
    cluster.advance(32_000, 50);
    assert.deepEqual(cluster.stored('n3', 'k'), cluster.stored('n1', 'k'));
    cluster.finish();
  });

  test('is served under the mutant', () => {
    assert.notEqual(damaged(['damaged-row-served']).mustRead('n3', 'k', one), 'value');
  });
});
