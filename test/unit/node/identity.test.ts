/**
 * The identity note on a disk: the actor, and below which counter its dots may be used up. The picture: a
 * block of numbered tickets that is written down as taken before the first of them is handed out.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CodedError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import { Identity } from '../../../src/node/identity.ts';
import type { Random } from '../../../src/ports/random.ts';
import type { Storage } from '../../../src/ports/storage.ts';
import type { Replica } from '../../../src/replica/replica.ts';

type Stored = (error?: CodedError) => void;

/** A disk with notes on it, which are durable when the test says so, in order. */
class NoteDisk {
  readonly notes: Map<string, Uint8Array> = new Map();
  readonly #slips: { readonly key: string; readonly value: Uint8Array; readonly stored: Stored }[] = [];

  get replica(): Replica {
    const note = (key: string, value: Uint8Array, { stored }: { readonly stored: Stored }): void => {
      this.#slips.push({ key, value: value.slice(), stored });
    };
    return { note } as unknown as Replica;
  }

  get storage(): Storage {
    return { get: (key: string) => this.notes.get(key) } as unknown as Storage;
  }

  /** The oldest slip is durable. */
  dry(): void {
    const { key, value, stored } = this.#slips.shift()!;
    this.notes.set(key, value);
    stored();
  }

  get waiting(): number {
    return this.#slips.length;
  }
}

function randomOf(seed: number): Random {
  const prng = new Prng(seed);
  return { u32: () => prng.below(0x1_0000_0000) } as unknown as Random;
}

function opened(disk: NoteDisk, random: Random): Identity {
  const identity = new Identity(new Set());
  identity.open(disk.storage, random);
  identity.isSettled = true;
  return identity;
}

describe('counters of an actor', () => {
  it('a note that is written while a reservation is on its way does not take it back (seed 312775)', () => {
    const disk = new NoteDisk();
    const random = randomOf(1);
    const first = opened(disk, random);
    // A loss is found: a new actor, whose first block is on its way when the identity is noted once more.
    first.renew(random);
    first.start(disk.replica, () => {});
    first.note(disk.replica, () => {});
    disk.dry();
    const issued = first.next(1000, disk.replica);
    disk.dry();

    const second = opened(disk, random);
    second.start(disk.replica, () => {});
    disk.dry();
    const again = second.next(2000, disk.replica);
    assert.equal(again.actor, issued.actor);
    assert.ok(again.counter > issued.counter, `${again.counter} was given out before`);
  });

  it('nor does it when the next block is on its way', () => {
    const disk = new NoteDisk();
    const random = randomOf(2);
    const first = opened(disk, random);
    first.start(disk.replica, () => {});
    disk.dry();
    let last = first.next(1000, disk.replica);
    // Half of a block used: the next is handed in, and behind it goes a note.
    while (disk.waiting === 0) last = first.next(1000, disk.replica);
    first.note(disk.replica, () => {});
    disk.dry();
    disk.dry();
    // The next block is durable, and used until the one after it is handed in.
    while (disk.waiting === 0) last = first.next(1000, disk.replica);

    const second = opened(disk, randomOf(3));
    assert.ok(second.opened.reserved > last.counter, `${last.counter} may come again`);
  });
});
