/**
 * The time line of a history: calls and returns in the order of time, doubly linked, as in Athalye's
 * Porcupine. An operation that takes effect is lifted out of it, call and return, and can be put back:
 * four stores each, as long as putting back goes in the reverse order of lifting.
 *
 * Entry 0 stands before everything and the last entry after everything. Operations are named by their
 * *bit*: those that return come first, in the order of their calls, then those that were lost.
 */

/** When an operation was called and when it returned, Infinity if it never did. */
export interface Span {
  readonly invoke: number;
  readonly return: number;
}

export class Timeline {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #bitOf: Int32Array;
  /** Of a call the entry of its return, 0 if there is none; -1 of a return. */
  readonly #returnOf: Int32Array;
  /** Returns still in the line. */
  returnsLeft: number;

  /** @param spans by bit; the first `returning` of them return. */
  constructor(spans: readonly Span[], returning: number) {
    this.returnsLeft = returning;
    const entries = spans.length + returning + 2;
    this.#next = new Int32Array(entries);
    this.#previous = new Int32Array(entries);
    this.#bitOf = new Int32Array(entries);
    this.#returnOf = new Int32Array(entries);
    const events: { time: number; bit: number; isReturn: boolean }[] = [];
    spans.forEach((span, bit) => {
      events.push({ time: span.invoke, bit, isReturn: false });
      if (bit < returning) events.push({ time: span.return, bit, isReturn: true });
    });
    // At one time calls come before returns: such operations overlap.
    events.sort((a, b) => a.time - b.time || Number(a.isReturn) - Number(b.isReturn));
    const callOf = new Int32Array(spans.length);
    events.forEach(({ bit, isReturn }, i) => {
      const entry = i + 1;
      this.#bitOf[entry] = bit;
      if (isReturn) {
        this.#returnOf[entry] = -1;
        this.#returnOf[callOf[bit]!] = entry;
      } else callOf[bit] = entry;
    });
    for (let entry = 0; entry < entries; entry++) {
      this.#next[entry] = entry + 1;
      this.#previous[entry] = entry - 1;
    }
  }

  next(entry: number): number {
    return this.#next[entry]!;
  }

  previous(entry: number): number {
    return this.#previous[entry]!;
  }

  bitOf(entry: number): number {
    return this.#bitOf[entry]!;
  }

  /** Whether the entry is a call; what stands after everything is none. */
  isCall(entry: number): boolean {
    return entry !== this.#next.length - 1 && this.#returnOf[entry]! >= 0;
  }

  lift(call: number): void {
    this.#unlink(call);
    const end = this.#returnOf[call]!;
    if (end === 0) return;
    this.#unlink(end);
    this.returnsLeft--;
  }

  /** Undoes the last `lift`. */
  putBack(call: number): void {
    const end = this.#returnOf[call]!;
    if (end > 0) {
      this.#relink(end);
      this.returnsLeft++;
    }
    this.#relink(call);
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
}
