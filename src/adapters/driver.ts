/**
 * The driver: what turns the crank of a node in production (the turn port, `src/ports/turn.ts`).
 *
 * The picture: a bus that leaves when everybody at the stop has boarded. Whoever has something to
 * flush calls `wake`; `setImmediate` lets every input that is already there (sockets that became
 * readable together, storage completions) be handled first; then the node ends its turn once, and the
 * doors write out their replies once. What that causes boards the next bus.
 *
 * It also ticks the node, and measures how late the ticks are: an event loop that lags is how an
 * overloaded or frozen process looks from inside. While the node is quiet it ticks less often: waking up
 * is nearly all that an idle node costs.
 */

import { assert } from '../base/assert.ts';
import type { Clock } from '../ports/clock.ts';
import type { Turn } from '../ports/turn.ts';

/** What is driven: a node. */
export interface Driven {
  endTurn(): void;
  tick(): void;
  /** Nothing is under way that ticks bring forward, so that they may come less often. */
  readonly isQuiet: boolean;
}

export interface DriverOptions {
  readonly clock: Clock;
  /** Between ticks, milliseconds. */
  readonly tickMs?: number;
  /** Between ticks while the node is quiet, milliseconds: not less than `tickMs`. */
  readonly quietTickMs?: number;
}

/** Quiet ticks in a row after which they come less often. */
const quietTicks = 4;

export class NodeDriver implements Turn {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #quietTickMs: number;
  readonly #flushes: (() => void)[] = [];
  readonly #run: () => void;
  #node: Driven | undefined = undefined;
  #scheduled = false;
  #stopped = false;
  #timer: ReturnType<typeof setInterval> | undefined = undefined;
  /** Between ticks now. */
  #intervalMs = 0;
  #quietTicks = 0;
  #tickAt = 0;
  #lateMs = 0;
  #lagMs = 0;
  #lagMaxMs = 0;
  #turns = 0;

  constructor(options: DriverOptions) {
    this.#clock = options.clock;
    this.#tickMs = options.tickMs ?? 5;
    this.#quietTickMs = Math.max(this.#tickMs, options.quietTickMs ?? 40);
    this.#run = () => this.#endTurn();
  }

  /** How late the latest tick came, milliseconds. */
  get lateMs(): number {
    return this.#lateMs;
  }

  /** How late ticks come, milliseconds: an average over about the last 20. */
  get lagMs(): number {
    return this.#lagMs;
  }

  /** The latest tick since this was last asked, milliseconds. */
  takeLagMaxMs(): number {
    const max = this.#lagMaxMs;
    this.#lagMaxMs = 0;
    return max;
  }

  /** Turns ended since start. */
  get turns(): number {
    return this.#turns;
  }

  wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  }

  /** Runs `flush` at the end of each turn, after the node's own: a door writing its replies. */
  onTurnEnd(flush: () => void): void {
    this.#flushes.push(flush);
  }

  /** Begins to drive. The tick does not keep the process alive by itself: open ports do. */
  start(node: Driven): void {
    assert(this.#node === undefined, 'a driver drives one node');
    this.#node = node;
    this.#tickEvery(this.#tickMs);
    if (!this.#scheduled) this.wake();
  }

  /** Ends the ticks and the turns; a turn that was asked for is still run. */
  stop(): void {
    if (this.#scheduled) this.#endTurn();
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  #endTurn(): void {
    // Cleared first: what the turn itself causes is a reason for the next one.
    this.#scheduled = false;
    if (this.#node === undefined || this.#stopped) return;
    this.#turns += 1;
    this.#node.endTurn();
    for (const flush of this.#flushes) flush();
    if (this.#intervalMs !== this.#tickMs && !this.#node.isQuiet) this.#tickEvery(this.#tickMs);
  }

  #tickEvery(intervalMs: number): void {
    clearInterval(this.#timer);
    this.#quietTicks = 0;
    this.#intervalMs = intervalMs;
    this.#tickAt = this.#clock.monotonic();
    this.#timer = setInterval(() => this.#tick(), intervalMs);
    this.#timer.unref();
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    const late = Math.max(0, now - this.#tickAt - this.#intervalMs);
    this.#tickAt = now;
    this.#lateMs = late;
    this.#lagMs += (late - this.#lagMs) / 20;
    if (late > this.#lagMaxMs) this.#lagMaxMs = late;
    this.#node?.tick();
    if (this.#stopped) return;
    if (this.#node?.isQuiet !== true) {
      this.#quietTicks = 0;
      if (this.#intervalMs !== this.#tickMs) this.#tickEvery(this.#tickMs);
    } else if (++this.#quietTicks === quietTicks && this.#intervalMs !== this.#quietTickMs) {
      this.#tickEvery(this.#quietTickMs);
    }
  }
}
