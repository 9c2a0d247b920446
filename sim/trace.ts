/**
 * The trace: a running hash over everything that happened, and on request the readable log of it.
 *
 * Two runs are the same run if their hashes are equal: each event (when, what, where, which bytes)
 * goes in. Hashing must cost next to nothing, so an event is four numbers mixed into two 32-bit
 * lanes (Murmur3's mixing), and the readable line is built only when somebody reads it.
 */

/** What can happen in a run. The number goes into the hash: add at the end. */
export const EVENT = {
  frame: 1,
  frameCorrupted: 2,
  pipeUp: 3,
  pipeDown: 4,
  tick: 5,
  endTurn: 6,
  diskDone: 7,
  diskRange: 8,
  opInvoke: 9,
  opReturn: 10,
  start: 11,
  crash: 12,
  fault: 13,
  log: 14,
} as const;

export type EventKind = (typeof EVENT)[keyof typeof EVENT];

/** Where readable lines go, if anywhere. */
export type TraceSink = (line: string) => void;

export class Trace {
  /** Full-stack events: delivered frames, storage completions, operations, ticks. */
  events = 0;
  readonly sink: TraceSink | undefined;
  #a = 0x9747b28c | 0;
  #b = 0x5bd1e995 | 0;

  constructor(sink?: TraceSink) {
    this.sink = sink;
  }

  /** Takes an event into the hash. `detail` and `more` stand for its bytes (checksum, length, id). */
  add(now: number, kind: EventKind, node: number, detail: number, more: number): void {
    this.#a = mix(this.#a, (now & 0x7fffffff) ^ (kind << 24));
    this.#b = mix(this.#b, (node + 1) * 0x10001 + (Math.floor(now / 0x80000000) | 0));
    this.#a = mix(this.#a, detail);
    this.#b = mix(this.#b, detail ^ more);
  }

  /** Takes a text into the hash. */
  addText(text: string): void {
    for (let i = 0; i < text.length; i++) this.#b = mix(this.#b, text.charCodeAt(i));
  }

  /** Writes a readable line, if anybody reads. `line` is built only then. */
  say(now: number, line: () => string): void {
    if (this.sink) this.sink(`${(now / 1000).toFixed(3).padStart(11)} ms  ${line()}`);
  }

  /** The hash so far, 16 hex digits. */
  get hash(): string {
    const hex = (lane: number) => (lane >>> 0).toString(16).padStart(8, '0');
    return hex(this.#a) + hex(this.#b);
  }
}

function mix(lane: number, block: number): number {
  let k = Math.imul(block, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const h = lane ^ k;
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}
