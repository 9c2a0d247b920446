/**
 * Is there an order? The search for a linearization of the history of one key.
 *
 * Wing and Gong ("Testing and verifying concurrent objects", 1993) walk along the time line of calls and
 * returns: every call before the first return is a candidate to have taken effect next; taking one lifts
 * its call and return out of the list; where a return is met whose call was not taken, the walk goes back
 * and tries another. Lowe ("Testing for linearizability", 2017) remembers each configuration (the set of
 * operations taken, the state) and never enters one twice. As in Athalye's Porcupine the list is doubly
 * linked, so that lifting and putting back are four stores, and the set is a bit set.
 *
 * Two short cuts, both exact: a read that fits the present state is taken at once and never given back by
 * itself (it changes nothing, so wherever a solution has it, it may as well stand here); and a model may
 * leave out operations of unknown outcome that nobody saw.
 *
 * An operation of unknown outcome has a call and no return: it may be taken at any time after its call,
 * and need not be. The work is bounded; a search that reaches the bound says `unknown`.
 */

import type { Held, Model } from './model.ts';

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

/** How far a search came that found no order. */
export interface DeadEnd {
  /** Indices of operations in an order that explains everything that returned before `stuck` did. */
  readonly order: readonly number[];
  readonly state: Held;
  /** The operation that had to take effect before its return, and fits in no order. */
  readonly stuck: number;
}

export interface SearchResult {
  readonly verdict: 'linearizable' | 'violated' | 'unknown';
  /** When linearizable: indices of operations, in an order that explains the history. */
  readonly order: readonly number[];
  /** When violated: the furthest point reached. */
  readonly deadEnd: DeadEnd | undefined;
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

interface Frame<S> {
  readonly entry: number;
  readonly state: S;
  /** Length of the trail before the entry was taken. */
  readonly mark: number;
}

/** A configuration that was entered; those of one hash are chained. */
interface Configuration<S> {
  readonly state: S;
  /** Words of lost operations, index of the first word that is not full, words from there on. */
  readonly set: Int32Array;
  readonly next: Configuration<S> | undefined;
}

class Search<S extends Held, A> {
  readonly #model: Model<S, A>;
  readonly #limits: SearchLimits;
  readonly #operations: readonly Operation<A>[];
  /** Index in `operations` by bit: those that returned in the order of their calls, then the lost. */
  readonly #ofBit: number[];
  readonly #reads: Uint8Array;
  /**
   * The time line, linked: entry 0 is before everything, the last one after. `#bitOf` is the operation
   * of an entry; `#returnOf` of a call is the entry of its return, 0 if there is none, and -1 of a return.
   */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #bitOf: Int32Array;
  readonly #returnOf: Int32Array;
  /** How many operations return. */
  readonly #returning: number;
  #returnsLeft: number;
  /** The set of operations taken: words of those that return, then words of the lost. */
  readonly #words: Int32Array;
  readonly #returningWords: number;
  #firstOpenWord = 0;
  #hash = 0;
  /** Calls taken, in the order in which they take effect. */
  readonly #trail: number[] = [];
  readonly #frames: Frame<S>[] = [];
  readonly #seen: Map<number, Configuration<S>> = new Map();
  #configurations = 0;
  #setBytes = 0;
  #steps = 0;
  #state: S;
  #furthest = 0;
  #deadEnd: DeadEnd | undefined = undefined;

  constructor(model: Model<S, A>, operations: readonly Operation<A>[], limits: SearchLimits) {
    this.#model = model;
    this.#limits = limits;
    this.#operations = operations;
    this.#state = model.initial;
    const returning = operations.map((_, i) => i).filter((i) => operations[i]!.return !== Infinity);
    const byCall = (a: number, b: number): number => operations[a]!.invoke - operations[b]!.invoke;
    returning.sort(byCall);
    const lost = lostOperations(model, operations).sort(byCall);
    this.#ofBit = [...returning, ...lost];
    this.#reads = Uint8Array.from(this.#ofBit, (i) => (model.isRead(operations[i]!.action) ? 1 : 0));
    this.#returning = returning.length;
    this.#returnsLeft = returning.length;
    this.#returningWords = (returning.length + 31) >>> 5;
    // Bits of lost operations begin at a word of their own.
    this.#words = new Int32Array(this.#returningWords + ((lost.length + 31) >>> 5));
    const entries = this.#ofBit.length + returning.length + 2;
    this.#next = new Int32Array(entries);
    this.#previous = new Int32Array(entries);
    this.#bitOf = new Int32Array(entries);
    this.#returnOf = new Int32Array(entries);
    this.#link();
  }

  /** Makes the time line. At one time calls come before returns: such operations overlap. */
  #link(): void {
    const events: { time: number; bit: number; isReturn: boolean }[] = [];
    this.#ofBit.forEach((index, bit) => {
      const operation = this.#operations[index]!;
      events.push({ time: operation.invoke, bit, isReturn: false });
      if (bit < this.#returning) events.push({ time: operation.return, bit, isReturn: true });
    });
    events.sort((a, b) => a.time - b.time || Number(a.isReturn) - Number(b.isReturn));
    const callOf = new Int32Array(this.#ofBit.length);
    events.forEach(({ bit, isReturn }, i) => {
      const entry = i + 1;
      this.#bitOf[entry] = bit;
      if (isReturn) {
        this.#returnOf[entry] = -1;
        this.#returnOf[callOf[bit]!] = entry;
      } else callOf[bit] = entry;
    });
    for (let entry = 0; entry < this.#next.length; entry++) {
      this.#next[entry] = entry + 1;
      this.#previous[entry] = entry - 1;
    }
  }

  run(): SearchResult {
    this.#absorb();
    let entry = this.#next[0]!;
    while (this.#returnsLeft > 0) {
      if (this.#steps++ >= this.#limits.stepsMax || this.#isFull()) return this.#result('unknown');
      if (this.#returnOf[entry]! >= 0) {
        entry = this.#take(entry) ? this.#next[0]! : this.#next[entry]!;
        continue;
      }
      this.#noteDeadEnd(entry);
      const frame = this.#frames.pop();
      if (frame === undefined) return this.#result('violated');
      while (this.#trail.length > frame.mark) this.#putBack(this.#trail.pop()!);
      this.#state = frame.state;
      entry = this.#next[frame.entry]!;
    }
    return this.#result('linearizable');
  }

  /** Lets the operation of a call take effect now, unless it does not fit or leads where we have been. */
  #take(call: number): boolean {
    const bit = this.#bitOf[call]!;
    // Reads that fit were taken by `#absorb`; the others do not fit here.
    if (this.#reads[bit] === 1) return false;
    const state = this.#model.step(this.#state, this.#actionOf(bit));
    if (state === undefined) return false;
    const frame: Frame<S> = { entry: call, state: this.#state, mark: this.#trail.length };
    this.#lift(call);
    if (!this.#enter(state)) {
      this.#putBack(this.#trail.pop()!);
      return false;
    }
    this.#frames.push(frame);
    this.#state = state;
    this.#absorb();
    return true;
  }

  /** Takes every read that fits the present state, up to the first return that must wait. */
  #absorb(): void {
    for (let entry = this.#next[0]!; ; entry = this.#next[entry]!) {
      this.#steps++;
      const isEnd = entry === this.#next.length - 1;
      if (isEnd || this.#returnOf[entry]! < 0) return;
      const bit = this.#bitOf[entry]!;
      if (this.#reads[bit] === 0) continue;
      if (this.#model.step(this.#state, this.#actionOf(bit)) === undefined) continue;
      this.#lift(entry);
      // Its own return may have come next, and is gone now too: go on from the one before.
      entry = this.#previous[entry]!;
    }
  }

  #actionOf(bit: number): A {
    return this.#operations[this.#ofBit[bit]!]!.action;
  }

  #lift(call: number): void {
    this.#unlink(call);
    const end = this.#returnOf[call]!;
    if (end > 0) {
      this.#unlink(end);
      this.#returnsLeft--;
    }
    this.#flip(this.#bitOf[call]!);
    this.#trail.push(call);
    while (this.#words[this.#firstOpenWord] === -1) this.#firstOpenWord++;
  }

  /** Undoes the last `#lift`. */
  #putBack(call: number): void {
    const end = this.#returnOf[call]!;
    if (end > 0) {
      this.#relink(end);
      this.#returnsLeft++;
    }
    this.#relink(call);
    const word = this.#flip(this.#bitOf[call]!);
    this.#firstOpenWord = Math.min(this.#firstOpenWord, word);
  }

  #unlink(entry: number): void {
    const before = this.#previous[entry]!;
    const after = this.#next[entry]!;
    this.#next[before] = after;
    this.#previous[after] = before;
  }

  #relink(entry: number): void {
    this.#next[this.#previous[entry]!] = entry;
    this.#previous[this.#next[entry]!] = entry;
  }

  /** Takes the operation into the set or out of it. @returns the word */
  #flip(bit: number): number {
    const place = bit < this.#returning ? bit : bit - this.#returning + this.#returningWords * 32;
    const word = place >>> 5;
    this.#words[word] = this.#words[word]! ^ (1 << (place & 31));
    this.#hash ^= mix(bit + 1);
    return word;
  }

  /** Remembers the configuration. False when it was entered before. */
  #enter(state: S): boolean {
    const key = (this.#hash ^ hashOf(state)) | 0;
    const first = this.#seen.get(key);
    const set = this.#setNow();
    for (let known = first; known !== undefined; known = known.next) {
      if (known.state === state && isSame(known.set, set)) return false;
    }
    this.#seen.set(key, { state, set, next: first });
    this.#configurations++;
    this.#setBytes += set.byteLength;
    return true;
  }

  /** The set without the full words at its front and the empty ones at its end. */
  #setNow(): Int32Array {
    const words = this.#words;
    const from = Math.min(this.#firstOpenWord, this.#returningWords);
    let to = this.#returningWords;
    while (to > from && words[to - 1] === 0) to--;
    const lost = words.length - this.#returningWords;
    const set = new Int32Array(lost + 1 + to - from);
    for (let i = 0; i < lost; i++) set[i] = words[this.#returningWords + i]!;
    set[lost] = from;
    for (let i = from; i < to; i++) set[lost + 1 + i - from] = words[i]!;
    return set;
  }

  #isFull(): boolean {
    const { configurationsMax, setBytesMax } = this.#limits;
    return this.#configurations >= configurationsMax || this.#setBytes >= setBytesMax;
  }

  #noteDeadEnd(entry: number): void {
    if (entry < this.#furthest) return;
    // Of two orders that end at one place the shorter says more: it has nothing that is not needed.
    if (entry === this.#furthest && this.#trail.length >= this.#deadEnd!.order.length) return;
    this.#furthest = entry;
    this.#deadEnd = {
      order: this.#orderNow(),
      state: this.#state,
      stuck: this.#ofBit[this.#bitOf[entry]!]!,
    };
  }

  #orderNow(): number[] {
    return this.#trail.map((call) => this.#ofBit[this.#bitOf[call]!]!);
  }

  #result(verdict: SearchResult['verdict']): SearchResult {
    return {
      verdict,
      order: verdict === 'linearizable' ? this.#orderNow() : [],
      deadEnd: verdict === 'violated' ? this.#deadEnd : undefined,
      configurations: this.#configurations,
      steps: this.#steps,
    };
  }
}

/** Operations of unknown outcome that have to be considered. */
function lostOperations<S extends Held, A>(
  model: Model<S, A>,
  operations: readonly Operation<A>[],
): number[] {
  const actions = operations.map(({ action }) => action);
  const lost: number[] = [];
  operations.forEach((operation, i) => {
    if (operation.return !== Infinity) return;
    if (!model.canLeaveOut(operation.action, actions)) lost.push(i);
  });
  return lost;
}

/** Scatters a number over 32 bits (the finalizer of MurmurHash3). */
function mix(number: number): number {
  let hash = number | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function hashOf(state: Held): number {
  if (state === null) return 0;
  if (typeof state === 'number') return mix(state ^ 0x5bd1e995);
  let hash = 0;
  for (let i = 0; i < state.length; i++) hash = (Math.imul(hash, 31) + state.charCodeAt(i)) | 0;
  return mix(hash);
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
