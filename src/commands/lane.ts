/**
 * Lane: keeps the commands of one connection in order where order can be seen.
 *
 * A client that pipelines `SET a 1`, `GET a`, `GET b` must read its own 1, but `GET b` need not wait
 * for the quorum of `SET a`. The picture: a road with a single file of cars (the queue) that opens into
 * many lanes, one a key. The car in front drives on as soon as its own lane is free; a *barrier* (HELLO,
 * WAIT, FLUSHALL, …) waits until the whole road is empty and then has it to itself.
 *
 * On one key: reads run together; blind writes run together where the caller says their order is kept
 * below; everything else one after the other.
 */

import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';

/** What a command does to its keys. `write` does not look at what was there, `update` does. */
export type KeyMode = 'read' | 'write' | 'update';

export interface Footprint {
  /** The keys it touches; empty for a command that touches none. */
  readonly keys: readonly ByteString[];
  readonly mode: KeyMode;
  /** Whether it waits for all before it and holds back all after it. */
  readonly barrier: boolean;
  /** Whether blind writes to its key may overlap, their order being kept by the node. */
  readonly overlaps: boolean;
  /** Runs it. `leave` must be called once when it is complete. */
  start(): void;
}

/** Commands of one connection that may be under way at once. */
const runningMax = 128;

/** More than writes can run at once, so that an update is told from them. */
const updateWeight = 1_000_000;
const weights: Readonly<Record<KeyMode, number>> = { read: 1, write: -1, update: -updateWeight };

export class Lane {
  /** Of each key in use: the number of reads, or minus that of writes, or `-updateWeight`. */
  readonly #keys = new Map<ByteString, number>();
  readonly #queue: Footprint[] = [];
  #queueAt = 0;
  #running = 0;
  /** The one that runs, if only one does: its keys are noted when a second comes. */
  #alone: Footprint | undefined;
  #barrier = false;
  #draining = false;

  /** Commands that were entered and did not leave. */
  get pending(): number {
    return this.#running + this.#queue.length - this.#queueAt;
  }

  /** Starts a command, now or as soon as its turn comes. */
  enter(command: Footprint): void {
    if (this.#queueAt < this.#queue.length || !this.#isFree(command)) {
      this.#queue.push(command);
      return;
    }
    this.#run(command);
  }

  /** A command that was started is complete. */
  leave(command: Footprint): void {
    assert(this.#running > 0, 'a command leaves a lane that it entered');
    this.#running--;
    if (command === this.#alone) this.#alone = undefined;
    else if (command.barrier) this.#barrier = false;
    else for (const key of command.keys) this.#release(key, command.mode);
    if (this.#queueAt < this.#queue.length) this.#drain();
  }

  #run(command: Footprint): void {
    this.#running++;
    if (this.#running === 1) this.#alone = command;
    else this.#note(command);
    command.start();
  }

  #note(command: Footprint): void {
    if (command.barrier) this.#barrier = true;
    else for (const key of command.keys) this.#hold(key, command.mode);
  }

  /** Not recursive, however many commands complete at once. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    while (this.#queueAt < this.#queue.length) {
      const next = this.#queue[this.#queueAt]!;
      if (!this.#isFree(next)) break;
      this.#queueAt++;
      if (this.#queueAt > 64 && this.#queueAt * 2 > this.#queue.length) {
        this.#queue.splice(0, this.#queueAt);
        this.#queueAt = 0;
      }
      this.#run(next);
    }
    if (this.#queueAt === this.#queue.length) {
      this.#queue.length = 0;
      this.#queueAt = 0;
    }
    this.#draining = false;
  }

  #isFree(command: Footprint): boolean {
    if (this.#running === 0) return true;
    if (this.#alone !== undefined) {
      this.#note(this.#alone);
      this.#alone = undefined;
    }
    if (this.#barrier || command.barrier || this.#running >= runningMax) return false;
    for (const key of command.keys) {
      const users = this.#keys.get(key);
      if (users === undefined) continue;
      if (users > 0) {
        if (command.mode !== 'read') return false;
      } else if (command.mode !== 'write' || users <= -updateWeight || !command.overlaps) {
        return false;
      }
    }
    return true;
  }

  #hold(key: ByteString, mode: KeyMode): void {
    this.#keys.set(key, (this.#keys.get(key) ?? 0) + weights[mode]);
  }

  #release(key: ByteString, mode: KeyMode): void {
    const users = this.#keys.get(key)! - weights[mode];
    if (users === 0) this.#keys.delete(key);
    else this.#keys.set(key, users);
  }
}
