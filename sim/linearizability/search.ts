/**
 * Is there an order? The search for a linearization of the history of one key.
 *
 * Wing and Gong ("Testing and verifying concurrent objects", 1993) walk along the time line of calls and
 * returns: every call before the first return is a candidate to have taken effect next; taking one lifts
 * its call and return out of the line; where a return is met whose call was not taken, the walk goes back
 * and tries another. Lowe ("Testing for linearizability", 2017) remembers each configuration (the set of
 * operations taken, the state) and never goes on from one twice.
 *
 * An operation of unknown outcome is *lost*: it has a call and no return, may be taken at any time after
 * its call, and need not be.
 *
 * Short cuts, all exact, keep the walk narrow:
 *
 * - A read that fits the state is taken at once and not given back by itself: it changes nothing, so
 *   wherever a solution has it, it may as well stand here.
 * - Of lost operations that do the same the one called first is taken first.
 * - Of a register, a value that no read still wants is *dead*. A dead write is taken, with all others
 *   that can be, just before another write hides it, or at once where the state is dead too: a solution
 *   that has it later is as good without it there. All dead states are one. A state that reads still
 *   want is not left when no write could bring it back. A lost write is taken only where a read sees it
 *   at once; a dead one never.
 *
 * The work is bounded; a search that reaches the bound says `unknown`.
 */

import { Configurations, TakenSet } from './configurations.ts';
import type { Held, Model } from './model.ts';
import { Timeline } from './timeline.ts';

/** An operation of a client: real time orders A before B exactly when `A.return < B.invoke`. */
export interface Operation<A> {
  readonly invoke: number;
  /** Infinity when it never returned, or returned without saying whether it took effect. */
  readonly return: number;
  readonly action: A;
}

/** Bounds of the work on one key. */
export interface SearchLimits {
  /** Entries of the time line looked at. */
  readonly stepsMax: number;
  /** Configurations remembered. */
  readonly configurationsMax: number;
  /** What the sets of all configurations take, bytes. */
  readonly setBytesMax: number;
}

export const SEARCH_LIMITS_DEFAULT: SearchLimits = {
  stepsMax: 200_000_000,
  configurationsMax: 1_000_000,
  setBytesMax: 256 * 1024 * 1024,
};

export interface SearchResult {
  readonly verdict: 'linearizable' | 'violated' | 'unknown';
  /** When linearizable: indices of operations, in an order that explains the history. */
  readonly order: readonly number[];
  readonly configurations: number;
  readonly steps: number;
}

/** Searches for an order of `operations` (in any order, of one key) that `model` accepts. */
export function search<S extends Held, A>(
  model: Model<S, A>,
  operations: readonly Operation<A>[],
  limits: SearchLimits = SEARCH_LIMITS_DEFAULT,
): SearchResult {
  return new Search(model, operations, limits).run();
}

/** What is known of values nobody wants any more. */
const DEAD = -1;

interface Frame<S> {
  readonly entry: number;
  readonly state: S;
  readonly valueNow: number;
  /** Length of the trail before the entry was taken. */
  readonly mark: number;
}

class Search<S extends Held, A> {
  readonly #model: Model<S, A>;
  readonly #limits: SearchLimits;
  readonly #operations: readonly Operation<A>[];
  /** Index in `operations` by bit (see `Timeline`). */
  readonly #ofBit: number[];
  readonly #isRead: Uint8Array;
  readonly #returning: number;
  /** Of a lost operation: the one before it that does the same, which is taken first; else -1. */
  readonly #twinOf: Int32Array;
  readonly #line: Timeline;
  readonly #taken: TakenSet;
  readonly #known = new Configurations();
  /** Calls taken, in the order in which they take effect. */
  readonly #trail: number[] = [];
  readonly #frames: Frame<S>[] = [];
  #steps = 0;
  #state: S;
  /** Of a register: values by number; which one each bit reads or writes; reads and writes not taken. */
  readonly #valueOf: Int32Array;
  readonly #readsLeft: Int32Array;
  readonly #writesLeft: Int32Array;
  /** The value held, by number; `DEAD` when no read wants it. */
  #valueNow = 0;

  constructor(model: Model<S, A>, operations: readonly Operation<A>[], limits: SearchLimits) {
    this.#model = model;
    this.#limits = limits;
    this.#operations = operations;
    this.#state = model.initial;
    const indices = operations.map((_, i) => i);
    const byCall = (a: number, b: number): number => operations[a]!.invoke - operations[b]!.invoke;
    const returning = indices.filter((i) => operations[i]!.return !== Infinity).sort(byCall);
    // A read that was never answered says nothing.
    const lost = indices
      .filter((i) => operations[i]!.return === Infinity && !model.isRead(operations[i]!.action))
      .sort(byCall);
    this.#ofBit = [...returning, ...lost];
    this.#returning = returning.length;
    this.#isRead = Uint8Array.from(this.#ofBit, (i) => (model.isRead(operations[i]!.action) ? 1 : 0));
    this.#twinOf = new Int32Array(this.#ofBit.length).fill(-1);
    this.#line = new Timeline(
      this.#ofBit.map((i) => operations[i]!),
      returning.length,
    );
    this.#taken = new TakenSet(returning.length, lost.length);
    this.#valueOf = new Int32Array(this.#ofBit.length);
    this.#readsLeft = new Int32Array(this.#ofBit.length + 1);
    this.#writesLeft = new Int32Array(this.#ofBit.length + 1);
    this.#findTwins();
    if (model.registerValue !== undefined) this.#countValues(model.registerValue);
  }

  #findTwins(): void {
    const last = new Map<string, number>();
    for (let bit = this.#returning; bit < this.#ofBit.length; bit++) {
      const text = this.#model.text(this.#actionOf(bit));
      this.#twinOf[bit] = last.get(text) ?? -1;
      last.set(text, bit);
    }
  }

  #countValues(registerValue: (action: A) => S): void {
    const numbers = new Map<S, number>([[this.#model.initial, 0]]);
    for (let bit = 0; bit < this.#ofBit.length; bit++) {
      const value = registerValue(this.#actionOf(bit));
      const number = numbers.get(value) ?? numbers.size;
      numbers.set(value, number);
      this.#valueOf[bit] = number;
      const left = this.#isRead[bit] === 1 ? this.#readsLeft : this.#writesLeft;
      left[number] = left[number]! + 1;
    }
  }

  run(): SearchResult {
    const line = this.#line;
    this.#settle();
    let entry = line.next(0);
    while (line.returnsLeft > 0) {
      if (this.#steps++ >= this.#limits.stepsMax || this.#isFull()) return this.#result('unknown');
      if (line.isCall(entry)) {
        entry = this.#take(entry) ? line.next(0) : line.next(entry);
        continue;
      }
      const frame = this.#frames.pop();
      if (frame === undefined) return this.#result('violated');
      this.#goBack(frame);
      entry = line.next(frame.entry);
    }
    return this.#result('linearizable');
  }

  /** Lets the operation of a call take effect now, unless it does not fit or leads where we have been. */
  #take(call: number): boolean {
    const bit = this.#line.bitOf(call);
    // Reads that fit were taken already; the others do not fit here.
    if (this.#isRead[bit] === 1) return false;
    const twin = this.#twinOf[bit]!;
    if (twin >= 0 && !this.#taken.has(twin)) return false;
    const isLost = bit >= this.#returning;
    const isRegister = this.#model.registerValue !== undefined;
    const value = this.#valueOf[bit]!;
    if (isRegister) {
      if (this.#valueNow !== DEAD && this.#writesLeft[this.#valueNow] === 0) return false;
      if (isLost && this.#readsLeft[value] === 0) return false;
    }
    const state = this.#model.step(this.#state, this.#actionOf(bit));
    if (state === undefined) return false;
    const frame = { entry: call, state: this.#state, valueNow: this.#valueNow, mark: this.#trail.length };
    if (isRegister && this.#readsLeft[value]! > 0) this.#takeDead();
    this.#lift(call);
    this.#state = state;
    this.#valueNow = value;
    const before = this.#trail.length;
    this.#settle();
    const isSeen = this.#trail.length > before;
    if ((isSeen || !isLost || !isRegister) && this.#enter()) {
      this.#frames.push(frame);
      return true;
    }
    this.#goBack(frame);
    return false;
  }

  #goBack(frame: Frame<S>): void {
    while (this.#trail.length > frame.mark) this.#putBack(this.#trail.pop()!);
    this.#state = frame.state;
    this.#valueNow = frame.valueNow;
  }

  /** Takes what can be taken without a choice. */
  #settle(): void {
    const line = this.#line;
    for (let entry = line.next(0); line.isCall(entry); entry = line.next(entry)) {
      this.#steps++;
      const bit = line.bitOf(entry);
      if (this.#isRead[bit] === 0) continue;
      if (this.#model.step(this.#state, this.#actionOf(bit)) === undefined) continue;
      this.#lift(entry);
      // Its own return may have come next, and is gone now too: go on from the one before.
      entry = line.previous(entry);
    }
    if (this.#model.registerValue === undefined || this.#valueNow === DEAD) return;
    if (this.#readsLeft[this.#valueNow]! > 0) return;
    this.#valueNow = DEAD;
    this.#takeDead();
  }

  /** Takes all writes that return and whose values no read wants. */
  #takeDead(): void {
    const line = this.#line;
    for (let entry = line.next(0); line.isCall(entry); entry = line.next(entry)) {
      this.#steps++;
      const bit = line.bitOf(entry);
      if (this.#isRead[bit] === 1 || bit >= this.#returning) continue;
      if (this.#readsLeft[this.#valueOf[bit]!]! > 0) continue;
      this.#lift(entry);
      entry = line.previous(entry);
    }
  }

  /** Remembers the configuration. False when it was entered before. */
  #enter(): boolean {
    const isRegister = this.#model.registerValue !== undefined;
    return this.#known.enter(this.#taken, isRegister ? this.#valueNow : this.#state);
  }

  #actionOf(bit: number): A {
    return this.#operations[this.#ofBit[bit]!]!.action;
  }

  #lift(call: number): void {
    const bit = this.#line.bitOf(call);
    this.#line.lift(call);
    this.#taken.add(bit);
    this.#trail.push(call);
    this.#count(bit, -1);
  }

  #putBack(call: number): void {
    const bit = this.#line.bitOf(call);
    this.#line.putBack(call);
    this.#taken.remove(bit);
    this.#count(bit, 1);
  }

  #count(bit: number, by: number): void {
    const left = this.#isRead[bit] === 1 ? this.#readsLeft : this.#writesLeft;
    const value = this.#valueOf[bit]!;
    left[value] = left[value]! + by;
  }

  #isFull(): boolean {
    const { configurationsMax, setBytesMax } = this.#limits;
    return this.#known.count >= configurationsMax || this.#known.setBytes >= setBytesMax;
  }

  #result(verdict: SearchResult['verdict']): SearchResult {
    return {
      verdict,
      order:
        verdict === 'linearizable' ? this.#trail.map((call) => this.#ofBit[this.#line.bitOf(call)]!) : [],
      configurations: this.#known.count,
      steps: this.#steps,
    };
  }
}
