/**
 * The horizon desk as leader, with comparisons answered by hand: the proof holds for all replicas at one
 * moment, or there is none.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteReader, ByteWriter, bytesOf } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { NodeContext } from '../../../src/node/context.ts';
import type { ComparedPartition } from '../../../src/node/horizon-desk.ts';
import { HorizonDesk } from '../../../src/node/horizon-desk.ts';
import type { Link } from '../../../src/node/links.ts';
import { NODE_LIMITS_DEFAULT } from '../../../src/node/options.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { Replica } from '../../../src/replica/replica.ts';
import { place } from '../../../src/ring/placement.ts';
import { rowKeyOf, rowKeySlot } from '../../../src/rows/key.ts';
import { encodeRow, KIND_TOMBSTONE } from '../../../src/rows/row.ts';
import { Topology } from '../../../src/topology/topology.ts';
import { FENCE, FENCED, HORIZON } from '../../../src/wire/horizon-messages.ts';
import { ManualStorage } from '../../support/manual-storage.ts';
import { begin } from '../../support/topologies.ts';

const wall = 1_700_000_000_000;
const equal: ComparedPartition = { oldestDifferenceTime: Number.POSITIVE_INFINITY };

/** The leader of the one partition of three replicas, and what it asked of its neighbours. */
class Leader {
  readonly replica: Replica;
  readonly desk: HorizonDesk;
  readonly asked: { readonly peer: string; readonly equal: () => void }[] = [];
  readonly peers: readonly string[];
  readonly key = rowKeyOf('plum');
  readonly partition: number;
  topology: Topology;

  constructor() {
    const members = ['a', 'b', 'c'].map((id) => ({ id, weight: 1, zone: 'z' }));
    const table = place(undefined, members, { partitionCount: 64, replicaCount: 3 });
    this.partition = table.partitionOfSlot(rowKeySlot(this.key));
    const [self, ...peers] = table.preferenceListOfPartition(this.partition) as [string, ...string[]];
    this.peers = peers;
    this.replica = new Replica({
      storage: new ManualStorage(true),
      durability: 'always',
      log: LOG_SILENT,
      wake: () => {},
      noteOfCommit: () => undefined,
      partitionCount: 64,
      mutants: new Set(),
    });
    this.replica.start({ time: 0, logical: 0 });
    this.topology = Topology.founding(
      members.map((member) => ({ ...member, host: '', respPort: 1, peerPort: 2, httpPort: 0 })),
      table,
    );
    const topology = (): Topology => this.topology;
    const context = {
      self,
      get topology(): Topology {
        return topology();
      },
      limits: { ...NODE_LIMITS_DEFAULT, horizonIntervalMs: 1 },
      log: LOG_SILENT,
      mutants: new Set(),
      replica: this.replica,
      links: { isLive: () => true, writerTo: () => new ByteWriter(64), writer: () => new ByteWriter(64) },
      now: () => 1000,
      wall: () => wall,
    } as unknown as NodeContext;
    this.desk = new HorizonDesk(context, {
      compare: (partition, peer, done) => {
        if (partition !== this.partition) done(new CodedError('unavailable', 'none', 'not now'), undefined);
        else this.asked.push({ peer, equal: () => done(undefined, equal) });
      },
      hintFloorOf: () => wall,
      isWhole: () => true,
      isClockConfirmed: () => true,
    });
    for (let now = 1000; this.asked.length < 2; now += 1) {
      assert.ok(now < 1200, 'a round of the partition begins');
      this.desk.tick(now);
    }
  }

  answer(): void {
    this.asked.shift()!.equal();
  }

  /** The other peer than the first goes: every partition loses an owner. */
  change(): void {
    const before = this.topology;
    this.topology = begin(before, { kind: 'leave', id: this.peers[1]! });
    this.desk.topologyChanged(before, this.topology);
  }

  /** A message of a round that a peer leads. */
  hear(type: number, id: number, time: number): void {
    const writer = new ByteWriter();
    writer.u16(this.partition);
    writer.u48(time);
    const link = { member: { id: this.peers[0]! }, generation: 1 } as Link;
    this.desk.message(link, type, id, new ByteReader(writer.take()));
    this.replica.commit();
  }

  /** Both peers have raised their fences, and so have we. */
  fenced(id: number): void {
    this.replica.commit();
    for (const peer of this.peers) {
      this.desk.message({ member: { id: peer } } as Link, FENCED, id, new ByteReader(new Uint8Array(0)));
    }
  }

  /** The id of the round: they are numbered from 1. */
  fencedAll(): void {
    for (let id = 1; id <= 64; id++) this.fenced(id);
  }

  get horizon(): number {
    return this.replica.horizons.horizonOf(this.partition);
  }

  /** A tombstone from before the fence arrives from a replica that holds it. */
  take(): void {
    const stamp = { time: wall - 3_600_000, logical: 0, actor: 7, counter: 1 };
    const body = { kind: KIND_TOMBSTONE, value: bytesOf(''), expireAt: 0 };
    this.replica.merge(this.key, encodeRow(this.key, body, stamp), undefined, 'sync');
    this.replica.commit();
  }
}

describe('the leader of a round', () => {
  test('raises the horizon when all replicas are fenced and equal', () => {
    const leader = new Leader();
    leader.answer();
    leader.answer();
    leader.fencedAll();
    assert.equal(leader.asked.length, 2, 'the proof begins');
    leader.answer();
    assert.equal(leader.horizon, 0);
    leader.answer();
    assert.equal(leader.horizon, wall - NODE_LIMITS_DEFAULT.horizonMarginMs);
  });

  test('a delete that another comparison brings between two proofs was not seen by the first', () => {
    const leader = new Leader();
    leader.answer();
    leader.answer();
    leader.fencedAll();
    leader.answer();
    // One peer lacks it, and still holds the row; the other has just handed it to us.
    leader.take();
    const { abandoned } = leader.desk.status;
    leader.answer();
    assert.equal(leader.horizon, 0, 'the first peer would bring the row back');
    assert.equal(leader.desk.status.raised, 0);
    assert.equal(leader.desk.status.abandoned, abandoned + 1);
  });

  test('what came before the proof does not hold it up', () => {
    const leader = new Leader();
    leader.answer();
    leader.answer();
    leader.take();
    leader.fencedAll();
    leader.answer();
    leader.answer();
    assert.equal(leader.horizon, wall - NODE_LIMITS_DEFAULT.horizonMarginMs);
  });

  test('gives a round up when the owners change, and begins none while they do', () => {
    const leader = new Leader();
    leader.answer();
    leader.answer();
    leader.fencedAll();
    const proofs = leader.asked.splice(0);
    assert.equal(proofs.length, 2);
    leader.change();
    for (const { equal: answer } of proofs) answer();
    assert.equal(leader.horizon, 0);
    for (let now = 2000; now < 3000; now++) leader.desk.tick(now);
    assert.equal(leader.asked.length, 0);
  });
});

test('no round begins while a member that a change takes for gone may come back with its hints', () => {
  const leader = new Leader();
  leader.asked.splice(0);
  const { members, read } = leader.topology;
  const d = { ...members[0]!, id: 'd' };
  const change = { kind: 'replace', id: 1, nodes: ['e'], gone: ['d'], epoch: 2, beganAt: 0 } as const;
  const content = { phase: 'enrol', members, read, other: undefined, change } as const;
  const turnTo = (topology: Topology): void => {
    const before = leader.topology;
    leader.topology = topology;
    leader.desk.topologyChanged(before, topology);
  };
  turnTo(new Topology({ ...content, epoch: 2, lost: [d] }));
  // The round that was under way waits for answers that do not come.
  for (let now = 20_000; now < 20_200; now++) leader.desk.tick(now);
  assert.equal(leader.asked.length, 0);
  assert.equal(leader.desk.status.heldBy, 'd');
  turnTo(new Topology({ ...content, epoch: 3 }));
  for (let now = 40_000; leader.asked.length < 2; now++) {
    assert.ok(now < 40_200, 'a round begins');
    leader.desk.tick(now);
  }
});

describe('a replica in a round of others', () => {
  const time = wall - NODE_LIMITS_DEFAULT.horizonMarginMs;

  test('believes the commit of the round it raised its fence for', () => {
    const replica = new Leader();
    replica.hear(FENCE, 900, time);
    assert.equal(replica.replica.horizons.fenceOf(replica.partition), time);
    replica.hear(HORIZON, 901, time);
    assert.equal(replica.horizon, 0);
    replica.hear(HORIZON, 900, time);
    assert.equal(replica.horizon, time);
  });

  test('raises no fence while owners change, and believes no commit of a round from before', () => {
    const replica = new Leader();
    replica.hear(FENCE, 900, time - 1000);
    replica.change();
    replica.hear(HORIZON, 900, time - 1000);
    assert.equal(replica.horizon, 0);
    replica.hear(FENCE, 902, time);
    assert.equal(replica.replica.horizons.fenceOf(replica.partition), time - 1000);
  });
});
