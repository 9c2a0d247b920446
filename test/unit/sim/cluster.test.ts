/** Machines of the simulation: a slow one, and what the others are told of it. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Cluster, type SimulatedNode } from '../../../sim/cluster.ts';
import { DISK_PROFILE_CALM } from '../../../sim/disk.ts';
import { drawPlan } from '../../../sim/plan.ts';
import { simMembers, simOptions } from '../../../sim/run.ts';
import { Schedule } from '../../../sim/schedule.ts';
import { Trace } from '../../../sim/trace.ts';

interface Bench {
  readonly schedule: Schedule;
  readonly cluster: Cluster;
  /** When inputs were handled, milliseconds. */
  readonly handled: number[];
}

/** One machine whose node does nothing but take note of the time. */
function benchOf(): Bench {
  const schedule = new Schedule();
  const plan = { ...drawPlan(1), nodes: 1, n: 1, r: 1, w: 1 };
  const handled: number[] = [];
  const idle = { start: (done: () => void) => done(), tick: () => {}, endTurn: () => {} };
  const config = {
    seed: 1,
    ids: simMembers(1).map((member) => member.id),
    clocks: [{ skewMs: 0, driftPpm: 0 }],
    network: plan.network,
    disk: DISK_PROFILE_CALM,
    optionsOf: (index: number) => simOptions(plan, index, new Set()),
    tickUs: 1_000_000_000,
    turnUs: 0,
  };
  const cluster = new Cluster(schedule, new Trace(), config, () => idle as unknown as SimulatedNode);
  cluster.start(0);
  return { schedule, cluster, handled };
}

describe('a slow machine', () => {
  it('works one input off after another, in order, and is as fast as before when it is told so', () => {
    const { schedule, cluster, handled } = benchOf();
    const input = () => cluster.input(cluster.machines[0]!, () => void handled.push(schedule.now / 1000));
    input();
    cluster.slowCpu(0, 5000);
    for (let i = 0; i < 3; i++) input();
    schedule.runUntil(12_000);
    assert.deepEqual(handled, [0, 5, 10]);
    cluster.slowCpu(0, 0);
    input();
    assert.equal(handled.length, 3, 'what waits goes first');
    schedule.runUntil(20_000);
    assert.deepEqual(handled, [0, 5, 10, 15, 15]);
    input();
    assert.deepEqual(handled, [0, 5, 10, 15, 15, 20]);
  });

  it('is never behind by more than 0.6 s, and forgets what it was given when it dies', () => {
    const { schedule, cluster, handled } = benchOf();
    const input = () => cluster.input(cluster.machines[0]!, () => void handled.push(schedule.now / 1000));
    cluster.slowCpu(0, 10_000);
    for (let i = 0; i < 500; i++) input();
    schedule.runUntil(700_000);
    assert.equal(handled.length, 500);
    assert.ok(handled.at(-1)! <= 620);
    for (let i = 0; i < 5; i++) input();
    cluster.crash(0);
    cluster.start(0);
    schedule.runUntil(2_000_000);
    assert.equal(handled.length, 500);
  });

  it('keeps what it was given while it is frozen', () => {
    const { schedule, cluster, handled } = benchOf();
    const input = () => cluster.input(cluster.machines[0]!, () => void handled.push(schedule.now / 1000));
    cluster.slowCpu(0, 10_000);
    for (let i = 0; i < 3; i++) input();
    schedule.runUntil(15_000);
    cluster.freeze(0);
    schedule.runUntil(100_000);
    assert.deepEqual(handled, [10]);
    cluster.thaw(0);
    schedule.runUntil(200_000);
    assert.equal(handled.length, 3);
    assert.ok(handled[1]! >= 100);
  });
});

describe('a stopped machine', () => {
  it('ends its turn once more, and then nothing is written to the storage it closed (seed 302912)', () => {
    const schedule = new Schedule();
    const plan = { ...drawPlan(1), nodes: 1, n: 1, r: 1, w: 1 };
    const written: number[] = [];
    let write = (_place: number): void => {};
    let turns = 0;
    const config = {
      seed: 1,
      ids: simMembers(1).map((member) => member.id),
      clocks: [{ skewMs: 0, driftPpm: 0 }],
      network: plan.network,
      disk: { ...DISK_PROFILE_CALM, visibleEarly: true },
      optionsOf: (index: number) => simOptions(plan, index, new Set<string>()),
      tickUs: 1_000_000_000,
      turnUs: 0,
    };
    const cluster = new Cluster(schedule, new Trace(), config, (_options, ports) => {
      write = (place) => {
        written.push(place);
        const batch = [{ key: 'k' as never, value: new Uint8Array([place]) }];
        ports.storage.write(batch, 'interval', () => {});
      };
      const node = {
        start: (done: () => void) => done(),
        stop: () => {},
        tick: () => {},
        endTurn: () => write(++turns),
      };
      return node as unknown as SimulatedNode;
    });
    cluster.start(0);
    const machine = cluster.machines[0]!;
    const told: number[] = [];
    machine.disk.onEntry = (_key, value) => void told.push(value![0]!);
    cluster.slowCpu(0, 1000);
    cluster.stop(0);
    cluster.stop(0);
    schedule.runUntil(5000);
    cluster.slowCpu(0, 0);
    cluster.input(machine, () => {
      assert.throws(() => write(9), /closed engine/);
    });
    schedule.runUntil(1_000_000);
    assert.deepEqual(told, [1], 'the last turn is on the disk, and the witness knows of it');
    assert.deepEqual(
      [...machine.disk.entries()].map(([, value]) => value[0]),
      [1],
    );
    assert.deepEqual(cluster.faults, []);
  });
});
