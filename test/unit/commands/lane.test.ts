import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Footprint, type KeyMode, Lane } from '../../../src/commands/lane.ts';

class Car implements Footprint {
  started = false;
  left = false;
  readonly name: string;
  readonly keys: readonly string[];
  readonly mode: KeyMode;
  readonly barrier: boolean;
  readonly overlaps: boolean;

  constructor(name: string, mode: KeyMode, keys: readonly string[], barrier = false, overlaps = false) {
    this.name = name;
    this.mode = mode;
    this.keys = keys;
    this.barrier = barrier;
    this.overlaps = overlaps;
  }

  start(): void {
    assert.equal(this.started, false, 'started once');
    this.started = true;
  }
}

function leave(lane: Lane, car: Car): void {
  car.left = true;
  lane.leave(car);
}

function entered(...cars: Car[]): { lane: Lane; started: () => string } {
  const lane = new Lane();
  for (const car of cars) lane.enter(car);
  return {
    lane,
    started: () =>
      cars
        .filter((car) => car.started)
        .map((car) => car.name)
        .join(' '),
  };
}

describe('a lane', () => {
  it('lets a read of another key pass, and holds a read of the same', () => {
    const set = new Car('set-a', 'write', ['a']);
    const { lane, started } = entered(set, new Car('get-b', 'read', ['b']), new Car('get-a', 'read', ['a']));
    assert.equal(started(), 'set-a get-b');
    leave(lane, set);
    assert.equal(started(), 'set-a get-b get-a');
  });

  it('runs reads of one key together', () => {
    assert.equal(entered(new Car('1', 'read', ['a']), new Car('2', 'read', ['a'])).started(), '1 2');
  });

  it('runs writes of one key together only where their order is kept', () => {
    const write = (name: string, overlaps: boolean): Car => new Car(name, 'write', ['a'], false, overlaps);
    assert.equal(entered(write('1', true), write('2', true)).started(), '1 2');
    assert.equal(entered(write('1', false), write('2', false)).started(), '1');
  });

  it('never runs an update beside anything on its key', () => {
    const update = new Car('u', 'update', ['a']);
    assert.equal(entered(update, new Car('w', 'write', ['a'], false, true)).started(), 'u');
    const write = new Car('w', 'write', ['a'], false, true);
    assert.equal(entered(write, new Car('u', 'update', ['a'])).started(), 'w');
  });

  it('gives a barrier the road for itself', () => {
    const first = new Car('1', 'read', ['a']);
    const barrier = new Car('b', 'read', [], true);
    const { lane, started } = entered(first, barrier, new Car('2', 'read', ['z']));
    assert.equal(started(), '1');
    leave(lane, first);
    assert.equal(started(), '1 b');
    leave(lane, barrier);
    assert.equal(started(), '1 b 2');
  });

  it('does not grow the stack when many commands complete at once', () => {
    const lane = new Lane();
    const first = new Car('first', 'update', ['a']);
    lane.enter(first);
    let count = 0;
    for (let i = 0; i < 50_000; i++) {
      const command: Footprint = {
        keys: ['a'],
        mode: 'update',
        barrier: false,
        overlaps: false,
        start: () => {
          count++;
          lane.leave(command);
        },
      };
      lane.enter(command);
    }
    leave(lane, first);
    assert.equal(count, 50_000);
    assert.equal(lane.pending, 0);
  });

  it('starts everything, in an order that nobody can tell from one after the other', () => {
    const car = fc.record({
      mode: fc.constantFrom<KeyMode>('read', 'write', 'update'),
      keys: fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 }),
      barrier: fc.boolean(),
      overlaps: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(car, { maxLength: 20 }),
        fc.array(fc.nat(), { maxLength: 60 }),
        (specs, choices) => {
          const cars = specs.map((s, i) => new Car(String(i), s.mode, s.keys, s.barrier, s.overlaps));
          const lane = new Lane();
          for (const entering of cars) lane.enter(entering);
          const running = (): Car[] => cars.filter((one) => one.started && !one.left);
          for (let step = 0; running().length > 0; step++) {
            checkCompatible(running());
            const choice = running();
            leave(lane, choice[(choices[step] ?? 0) % choice.length]!);
          }
          assert.ok(
            cars.every((one) => one.left),
            'all came through',
          );
          assert.equal(lane.pending, 0);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

function checkCompatible(running: readonly Car[]): void {
  for (const [index, earlier] of running.entries()) {
    for (const later of running.slice(index + 1)) {
      assert.ok(!earlier.barrier && !later.barrier, 'a barrier is alone');
      if (!earlier.keys.some((key) => later.keys.includes(key))) continue;
      const reads = earlier.mode === 'read' && later.mode === 'read';
      const writes = earlier.mode === 'write' && later.mode === 'write' && later.overlaps;
      assert.ok(reads || writes, `${earlier.mode} and ${later.mode} on one key`);
    }
  }
}
