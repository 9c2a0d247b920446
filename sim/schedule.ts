/**
 * The schedule: virtual time, and everything that is yet to happen in it.
 *
 * The picture: an alarm clock with one hand and many alarms. Time stands still until the next alarm;
 * then the hand jumps to it and its function runs. Alarms of one instant ring in the order they were
 * set, so the order of a run depends on nothing but the run itself: that is half of "one seed, one
 * run" (the other half is that all chance comes from the seed).
 *
 * A binary heap over parallel arrays: no object an alarm, because a run sets millions.
 */

/** Virtual time, microseconds since the run began; an integer. */
export type Micros = number;

export class Schedule {
  /** The instant that is happening. */
  now: Micros = 0;
  /** Alarms that rang so far. */
  rung = 0;
  #sequence = 0;
  #size = 0;
  readonly #times: number[] = [];
  readonly #sequences: number[] = [];
  readonly #runs: (() => void)[] = [];

  /** How many alarms are set. */
  get size(): number {
    return this.#size;
  }

  /** Calls `run` at `time`, or now (after what is already due) if that is past. */
  at(time: Micros, run: () => void): void {
    const due = time > this.now ? Math.floor(time) : this.now;
    const sequence = this.#sequence++;
    let hole = this.#size++;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (this.#times[parent]! <= due) break;
      this.#move(parent, hole);
      hole = parent;
    }
    this.#set(hole, due, sequence, run);
  }

  /** Calls `run` after `delay` microseconds. */
  after(delay: Micros, run: () => void): void {
    this.at(this.now + delay, run);
  }

  /** Rings the next alarm if it is due by `until`; false if there is none. */
  step(until: Micros): boolean {
    if (this.#size === 0 || this.#times[0]! > until) return false;
    this.now = this.#times[0]!;
    const run = this.#runs[0]!;
    this.#removeFirst();
    this.rung++;
    run();
    return true;
  }

  /** Rings everything due by `until`, and lets time reach it. */
  runUntil(until: Micros): void {
    while (this.step(until));
    if (until > this.now) this.now = until;
  }

  #removeFirst(): void {
    const last = --this.#size;
    const time = this.#times[last]!;
    const sequence = this.#sequences[last]!;
    const run = this.#runs[last]!;
    this.#runs[last] = nothing;
    if (last === 0) return;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#before(child + 1, child)) child++;
      const childTime = this.#times[child]!;
      if (childTime > time || (childTime === time && this.#sequences[child]! > sequence)) break;
      this.#move(child, hole);
      hole = child;
    }
    this.#set(hole, time, sequence, run);
  }

  #before(a: number, b: number): boolean {
    const difference = this.#times[a]! - this.#times[b]!;
    return difference !== 0 ? difference < 0 : this.#sequences[a]! < this.#sequences[b]!;
  }

  #move(from: number, to: number): void {
    this.#times[to] = this.#times[from]!;
    this.#sequences[to] = this.#sequences[from]!;
    this.#runs[to] = this.#runs[from]!;
  }

  #set(at: number, time: number, sequence: number, run: () => void): void {
    this.#times[at] = time;
    this.#sequences[at] = sequence;
    this.#runs[at] = run;
  }
}

function nothing(): void {}
