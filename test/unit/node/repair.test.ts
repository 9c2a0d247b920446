/** Anti-entropy in a cluster moved by hand: rounds, repair on demand, members that come and go, nonsense. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import type { RepairProgress } from '../../../src/node/repair-demand.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { writeFamilyHead } from '../../../src/wire/messages.ts';
import {
  REPAIR_ENTRIES,
  REPAIR_NODES,
  REPAIR_PUSH,
  REPAIR_ROOTS,
} from '../../../src/wire/repair-messages.ts';
import type { PumpedOptions } from '../../support/pumped-cluster.ts';
import { PumpedCluster } from '../../support/pumped-cluster.ts';

/** Rounds so rare that none begins by itself, or so frequent that one is always near. */
const rare: PumpedOptions = { policy: { r: 2, w: 2, strict: true }, limits: { repairIntervalMs: 3_600_000 } };
const often: PumpedOptions = { policy: { r: 2, w: 2, strict: true }, limits: { repairIntervalMs: 200 } };

interface Repaired {
  readonly error: CodedError | undefined;
  readonly progress: RepairProgress;
  readonly told: number;
}

/** Repairs from each node in turn, as `dure repair` does. */
function repair(cluster: PumpedCluster, ids: readonly string[], partitions?: readonly number[]): Repaired[] {
  return ids.map((id) => {
    let repaired: Repaired | undefined;
    let told = 0;
    cluster.node(id).repair(
      partitions === undefined ? {} : { partitions },
      () => told++,
      (error, progress) => {
        assert.equal(repaired, undefined, 'done is called once');
        repaired = { error, progress, told };
      },
    );
    for (let step = 0; repaired === undefined; step++) {
      assert.ok(step < 400, 'repair comes to an end');
      cluster.advance(50);
    }
    return repaired;
  });
}

function keys(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `key-${i}`);
}

function assertEqual(cluster: PumpedCluster, names: readonly string[]): void {
  for (const name of names) {
    const rows = cluster.table.preferenceList(slotOf(name)).map((id) => cluster.stored(id, name));
    for (const row of rows) assert.deepEqual(row, rows[0], `replicas of ${name} are equal`);
  }
}

describe('repair on demand', () => {
  it('brings back rows that a disk lost without a word, and tells how far it is', () => {
    const cluster = new PumpedCluster({ ...rare, nodes: 4 });
    const names = keys(60);
    for (const name of names) cluster.mustWrite('n1', name, `value of ${name}`);
    repair(cluster, cluster.ids);
    names.forEach((name, i) => {
      const [first, second] = cluster.table.preferenceList(slotOf(name));
      cluster.seat(i % 2 === 0 ? first! : second!).storage.entries.delete(rowKeyOf(name));
    });
    const repaired = repair(cluster, cluster.ids);
    assertEqual(cluster, names);
    for (const name of names) assert.ok(cluster.stored(cluster.table.preferenceList(slotOf(name))[0]!, name));
    let pairs = 0;
    let rows = 0;
    for (const { error, progress, told } of repaired) {
      assert.equal(error, undefined);
      assert.equal(progress.equal, progress.pairs);
      assert.equal(progress.failed, 0);
      assert.ok(told > 0);
      pairs += progress.pairs;
      rows += progress.rowsSent + progress.rowsTaken;
      assert.ok(progress.bytes > progress.rowBytes);
    }
    // Each pair of replicas once: N=3 has three pairs a partition.
    assert.equal(pairs, cluster.table.partitionCount * 3);
    assert.ok(rows >= names.length, `${rows} rows`);
    cluster.finish();
  });

  it('of one partition touches no other', () => {
    const cluster = new PumpedCluster(rare);
    for (const name of ['a', 'b']) {
      cluster.mustWrite('n1', name, 'v');
      cluster.advance(10);
      cluster.seat('n2').storage.entries.delete(rowKeyOf(name));
    }
    const partition = cluster.table.partitionOfSlot(slotOf('a'));
    assert.notEqual(partition, cluster.table.partitionOfSlot(slotOf('b')));
    const repaired = repair(cluster, cluster.ids, [partition]);
    assert.equal(
      repaired.reduce((sum, { progress }) => sum + progress.pairs, 0),
      3,
    );
    assert.ok(cluster.stored('n2', 'a'));
    assert.equal(cluster.stored('n2', 'b'), undefined);
    cluster.finish();
  });

  it('fails for pairs with a member that is away, and does the others', () => {
    const cluster = new PumpedCluster(rare);
    cluster.mustWrite('n1', 'key', 'v');
    cluster.seat('n2').storage.entries.delete(rowKeyOf('key'));
    cluster.isolate('n3');
    cluster.pump();
    const repaired = repair(cluster, ['n1', 'n2']);
    for (const { error, progress } of repaired) {
      assert.equal(error?.code, 'unavailable');
      assert.equal(progress.equal + progress.failed, progress.pairs);
      assert.ok(progress.failed > 0);
    }
    assert.ok(cluster.stored('n2', 'key'));
    cluster.finish();
  });
});

describe('rounds', () => {
  it('make replicas equal that missed writes, without any read', () => {
    const cluster = new PumpedCluster({ ...often, nodes: 5 });
    const names = keys(80);
    for (const name of names.slice(0, 40)) cluster.mustWrite('n1', name, 'old');
    cluster.isolate('n3');
    cluster.advance(2000);
    for (const name of names.slice(20)) cluster.mustWrite('n1', name, name === 'key-30' ? undefined : 'new');
    cluster.healAll();
    cluster.advance(4000);
    assertEqual(cluster, names);
    for (const id of cluster.ids) {
      const { repair: status } = cluster.node(id).status();
      assert.equal(status?.equal, status?.comparisons, `${id} found all equal`);
      assert.ok(status!.roundAgeMs !== null && status!.roundAgeMs < 2000, `${id}: ${status!.roundAgeMs}`);
      assert.equal(cluster.node(id).figures().repairFailures < 100, true);
    }
    cluster.finish();
  });

  it('cost nothing but roots when all is equal', () => {
    const cluster = new PumpedCluster(often);
    for (const name of keys(30)) cluster.mustWrite('n1', name, 'v');
    cluster.advance(2000);
    const before = cluster.ids.map((id) => cluster.node(id).figures());
    cluster.advance(4000);
    cluster.ids.forEach((id, i) => {
      const after = cluster.node(id).figures();
      assert.equal(
        after.repairRowsSent + after.repairRowsTaken,
        before[i]!.repairRowsSent + before[i]!.repairRowsTaken,
      );
      const rounds = after.repairRounds - before[i]!.repairRounds;
      const bytes = after.repairMetadataBytes - before[i]!.repairMetadataBytes;
      assert.ok(rounds >= 20, `${rounds} rounds`);
      // Both directions, as asker of some partitions and as the one asked of others.
      assert.ok(bytes / (rounds * 64) < 64, `${bytes} bytes in ${rounds} rounds`);
    });
    cluster.finish();
  });

  it('go on after a question or an answer was lost', () => {
    const cluster = new PumpedCluster(often);
    cluster.advance(1000);
    cluster.mustWrite('n1', 'key', 'v');
    for (const id of cluster.ids) cluster.seat(id).storage.entries.delete(rowKeyOf('nothing'));
    cluster.hold('n1', 'n2');
    cluster.hold('n2', 'n1');
    cluster.advance(400);
    cluster.drop('n1', 'n2');
    cluster.drop('n2', 'n1');
    cluster.releaseAll();
    cluster.advance(8000);
    for (const id of cluster.ids) {
      const status = cluster.node(id).status().repair!;
      assert.equal(status.equal, status.comparisons);
      assert.ok(status.roundAgeMs !== null && status.roundAgeMs < 3000);
    }
    cluster.finish();
  });

  it('find a row that rotted, and have it mended', () => {
    const cluster = new PumpedCluster(often);
    cluster.mustWrite('n1', 'key', 'precious');
    cluster.advance(1500);
    const whole = cluster.stored('n2', 'key')!;
    const rotten = whole.slice();
    rotten[34]! ^= 4;
    cluster.seat('n2').storage.entries.set(rowKeyOf('key'), rotten);
    cluster.advance(6000);
    assert.deepEqual(cluster.stored('n2', 'key'), whole);
    cluster.finish();
  });

  it('tell the lag of a member that does not take what it lacks', () => {
    const cluster = new PumpedCluster(often);
    cluster.mustWrite('n1', 'key', 'v');
    cluster.advance(1000);
    cluster.seat('n3').storage.entries.delete(rowKeyOf('key'));
    // Its disk is full: it answers questions and takes nothing.
    cluster.seat('n3').storage.writeError = new CodedError('storage-full', 'fail', 'the disk is full');
    cluster.advance(6000);
    const lags = ['n1', 'n2'].map(
      (id) =>
        cluster
          .node(id)
          .status()
          .members.find((member) => member.id === 'n3')!.lagMs,
    );
    assert.ok(Math.max(...lags) > 1000, `lags ${lags}`);
    cluster.finish();
    cluster.advance(6000);
    assertEqual(cluster, ['key']);
    for (const id of ['n1', 'n2'])
      assert.equal(
        cluster
          .node(id)
          .status()
          .members.find((member) => member.id === 'n3')!.lagMs,
        0,
      );
  });
});

describe('nonsense from a peer', () => {
  it('resets the pipe and harms nobody', () => {
    const cluster = new PumpedCluster(rare);
    cluster.mustWrite('n1', 'key', 'v');
    let resets = 0;
    for (const type of [REPAIR_ROOTS, REPAIR_NODES, REPAIR_ENTRIES, REPAIR_PUSH, 46, 41, 49]) {
      for (const fill of [0, 1, 0x7f, 0xff]) {
        for (const length of [0, 3, 8, 9, 40]) {
          const frame = cluster.forge('n2', 'n1', (writer) => {
            writeFamilyHead(writer, type, 99);
            writer.blob(new Uint8Array(length).fill(fill));
          });
          cluster.node('n1').frame('n2', frame);
          cluster.pump();
          resets = cluster.seat('n1').resets.length;
        }
      }
    }
    assert.ok(resets > 0);
    assert.equal(cluster.mustRead('n1', 'key'), 'v');
    cluster.finish();
  });
});
