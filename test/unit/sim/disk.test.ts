/** The simulated disk: what each kind of end loses, and how it fails. The port itself: conformance. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DISK_PROFILE_CALM, SimDisk } from '../../../sim/disk.ts';
import { Schedule } from '../../../sim/schedule.ts';
import { bytesOf } from '../../../src/base/bytes.ts';
import type { CodedError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import type { Durability } from '../../../src/ports/storage.ts';
import { storageConformance } from '../../conformance/storage.ts';

for (const visibleEarly of [false, true]) {
  const schedule = new Schedule();
  storageConformance(
    `simulated disk, ${visibleEarly ? 'seen early' : 'seen when done'}`,
    async () => {
      const disk = new SimDisk(schedule, new Prng(1), { ...DISK_PROFILE_CALM, visibleEarly });
      const open = () => disk.open((run) => run());
      return { storage: open(), reopen: async () => open(), close: async () => {} };
    },
    {
      settle: () => {
        schedule.runUntil(schedule.now + 1000);
      },
    },
  );
}

interface World {
  readonly schedule: Schedule;
  readonly disk: SimDisk;
  /** Names of batches whose `done` came without an error. */
  readonly done: string[];
  readonly errors: CodedError[];
  write(name: string, durability: Durability): void;
}

function worldOf(seed: number, visibleEarly: boolean): World {
  const schedule = new Schedule();
  const disk = new SimDisk(schedule, new Prng(seed), { ...DISK_PROFILE_CALM, visibleEarly });
  const storage = disk.open((run) => run());
  const done: string[] = [];
  const errors: CodedError[] = [];
  const write = (name: string, durability: Durability): void =>
    storage.write([{ key: name, value: bytesOf(name) }], durability, (error) => {
      if (error) errors.push(error);
      else done.push(name);
    });
  return { schedule, disk, done, errors, write };
}

/** How many of the names are stored; they must be the first ones. */
function prefixHeld(world: World, names: readonly string[]): number {
  const held = names.filter((name) => world.disk.peek(name) !== undefined);
  assert.deepEqual(held, names.slice(0, held.length), 'only the last batches may be lost');
  return held.length;
}

describe('simulated disk', () => {
  const names = Array.from({ length: 20 }, (_, i) => `k${String(i).padStart(2, '0')}`);

  for (const visibleEarly of [false, true]) {
    it(`keeps over a crash what was done, and a prefix of the rest (seen early: ${visibleEarly})`, () => {
      const lost = new Set<number>();
      for (let seed = 1; seed <= 50; seed++) {
        const world = worldOf(seed, visibleEarly);
        for (const name of names) world.write(name, 'interval');
        world.schedule.runUntil(1500);
        const doneBefore = world.done.length;
        world.disk.crash();
        world.schedule.runUntil(1_000_000);
        assert.equal(world.done.length, doneBefore, 'a dead process hears nothing');
        assert.ok(prefixHeld(world, names) >= doneBefore);
        lost.add(names.length - prefixHeld(world, names));
      }
      assert.ok(lost.size > 3, 'different runs lose differently');
    });

    it(`loses what was not synced when the power goes (seen early: ${visibleEarly})`, () => {
      let lostDone = 0;
      for (let seed = 1; seed <= 50; seed++) {
        const world = worldOf(seed, visibleEarly);
        for (const name of names) world.write(name, 'interval');
        world.schedule.runUntil(1500);
        const doneBefore = world.done.length;
        world.disk.losePower();
        if (prefixHeld(world, names) < doneBefore) lostDone++;
      }
      assert.ok(lostDone > 10, 'an interval commit is not safe from power loss');
    });

    it(`keeps synced batches over a power loss (seen early: ${visibleEarly})`, () => {
      for (let seed = 1; seed <= 50; seed++) {
        const world = worldOf(seed, visibleEarly);
        names.forEach((name, i) => {
          world.write(name, i % 3 === 2 ? 'always' : 'interval');
        });
        world.schedule.runUntil(3000);
        const synced = names.filter((name, i) => i % 3 === 2 && world.done.includes(name));
        world.disk.losePower();
        for (const name of synced) assert.ok(world.disk.peek(name), `${name} was synced`);
        prefixHeld(world, names);
      }
    });
  }

  it('dries what was written within the interval', () => {
    const world = worldOf(1, false);
    world.write('a', 'interval');
    world.schedule.runUntil(10_000 + DISK_PROFILE_CALM.syncIntervalUs);
    world.disk.losePower();
    assert.ok(world.disk.peek('a'));
  });

  it('fails writes when full or broken, applies nothing, and recovers', () => {
    for (const visibleEarly of [false, true]) {
      const world = worldOf(1, visibleEarly);
      world.disk.full = true;
      world.write('a', 'always');
      world.schedule.runUntil(100_000);
      assert.equal(world.errors[0]?.code, 'storage-full');
      world.disk.full = false;
      world.disk.failNext = 1;
      world.write('b', 'always');
      world.write('c', 'always');
      world.schedule.runUntil(200_000);
      assert.equal(world.errors[1]?.code, 'storage-failed');
      assert.deepEqual(world.done, ['c']);
      assert.equal(world.disk.peek('a') ?? world.disk.peek('b'), undefined);
      assert.ok(world.disk.peek('c'));
    }
  });

  it('may say that its log was torn, until that is noted', () => {
    const said = new Set<string | undefined>();
    for (let seed = 1; seed <= 20; seed++) {
      const world = worldOf(seed, false);
      world.disk.losePower(true);
      assert.equal(world.disk.open((run) => run()).loss, undefined, 'nothing was lost');
      const storage = world.disk.open((run) => run());
      storage.write([{ key: 'a', value: bytesOf('a') }], 'interval', () => {});
      world.schedule.runUntil(10_000);
      world.disk.losePower(true);
      const again = world.disk.open((run) => run());
      said.add(again.loss);
      world.disk.crash();
      assert.equal(world.disk.open((run) => run()).loss, again.loss);
      again.lossNoted();
      assert.equal(world.disk.open((run) => run()).loss, undefined);
    }
    assert.deepEqual([...said].sort(), ['the log is torn', undefined]);
  });

  it('has lost all that was not synced when the log is torn', () => {
    const world = worldOf(1, false);
    world.write('a', 'always');
    world.schedule.runUntil(10_000);
    for (const name of names) world.write(name, 'interval');
    world.schedule.runUntil(20_000);
    assert.ok(world.done.length > 5);
    world.disk.losePower(true);
    assert.ok(world.disk.peek('a'));
    assert.equal(prefixHeld(world, names), 0);
  });

  for (const visibleEarly of [false, true]) {
    it(`is put back to what was stored when the copy was made (seen early: ${visibleEarly})`, () => {
      const world = worldOf(1, visibleEarly);
      world.write('a', 'always');
      world.schedule.runUntil(100_000);
      world.write('late', 'always');
      const copy = world.disk.snapshot();
      world.schedule.runUntil(200_000);
      world.write('b', 'always');
      world.schedule.runUntil(300_000);
      assert.deepEqual(world.done, ['a', 'late', 'b']);
      world.disk.restore(copy);
      assert.deepEqual(
        [...world.disk.entries()].map(([key]) => key),
        ['a'],
        'a batch under way is not in it',
      );
      world.disk.losePower(true);
      assert.ok(world.disk.peek('a'), 'what was put back is dry');
    });
  }

  it('rots one bit of one value, and no copy anybody holds of it', () => {
    const world = worldOf(1, false);
    world.write('abc', 'always');
    world.schedule.runUntil(100_000);
    const before = world.disk.peek('abc')!;
    assert.equal(world.disk.rot('nothing there', 3), false);
    for (const bit of [0, 13, 23, 24, 0xffff_ffff]) {
      const held = world.disk.peek('abc')!;
      assert.equal(world.disk.rot('abc', bit), true);
      const flips = [...world.disk.peek('abc')!]
        .map((byte, i) => byte ^ held[i]!)
        .filter((bits) => bits !== 0);
      assert.equal(flips.length, 1);
      assert.equal(Math.log2(flips[0]!) % 1, 0, 'one bit');
    }
    assert.deepEqual(before, bytesOf('abc'));
  });

  it('is empty after a wipe', () => {
    const world = worldOf(1, false);
    world.write('a', 'always');
    world.schedule.runUntil(100_000);
    world.disk.wipe();
    assert.equal(world.disk.entryCount, 0);
  });
});
