/**
 * The near cache: values in the memory of the program, for a short time.
 *
 * The picture: a note on the desk with the time on it at which one set out to look, not the time one came
 * back. A note is thrown away when it is as old as the TTL, so what it says was current at some moment
 * less than the TTL ago. That is the whole promise: a value may be stale by up to the TTL, never by more,
 * by a clock that never jumps. Writes through this client throw the note away before and after they are
 * sent; a read that overlaps one leaves no note. Writes of other clients are not heard of.
 *
 * The least recently used notes make room for new ones, by count and by bytes.
 */

export interface NearCacheOptions {
  /** Values kept at most; that a key has none counts as one. */
  readonly entriesMax: number;
  /** Bytes of keys and values, roughly. A larger value is not kept. */
  readonly bytesMax: number;
  /** How old what is served may be, milliseconds. */
  readonly ttlMs: number;
}

interface Note {
  /** Null: there is no value. */
  readonly value: Uint8Array | null;
  readonly askedAt: number;
  readonly bytes: number;
}

/** A read on its way that may leave a note. */
export interface Asking {
  readonly key: string;
  readonly askedAt: number;
  /** Others may wait for it. */
  readonly answer: Promise<Uint8Array | null> | undefined;
  /** A write overlaps it: what it brings is not kept, and nobody joins it. */
  isSpoilt: boolean;
}

const entryBytes = 64;

export class NearCache {
  readonly #options: NearCacheOptions;
  readonly #now: () => number;
  /** In the order of their last use. */
  readonly #notes: Map<string, Note> = new Map();
  readonly #asking: Map<string, Asking[]> = new Map();
  #bytes = 0;

  /** @param now monotonic milliseconds */
  constructor(options: NearCacheOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  get entries(): number {
    return this.#notes.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What is noted of a key: bytes that must not be changed, null for no value, undefined for no note. */
  get(key: string): Uint8Array | null | undefined {
    const note = this.#notes.get(key);
    if (note === undefined) return undefined;
    if (this.#now() - note.askedAt >= this.#options.ttlMs) {
      this.#drop(key, note);
      return undefined;
    }
    this.#notes.delete(key);
    this.#notes.set(key, note);
    return note.value;
  }

  /** A read that is on its way, recent enough that what it brings is not older than the TTL for one who asks now. */
  shared(key: string): Promise<Uint8Array | null> | undefined {
    const time = this.#now();
    return this.#asking.get(key)?.find(({ askedAt, isSpoilt, answer }) => {
      return answer !== undefined && !isSpoilt && time - askedAt < this.#options.ttlMs;
    })?.answer;
  }

  /** A read sets out now. Ends with `finish`. */
  begin(key: string, ask?: () => Promise<Uint8Array | null>): Asking {
    const asking: Asking = { key, askedAt: this.#now(), answer: ask?.(), isSpoilt: false };
    const list = this.#asking.get(key);
    if (list === undefined) this.#asking.set(key, [asking]);
    else list.push(asking);
    return asking;
  }

  /** A read is back, with `value`, or undefined if it failed or has nothing to keep. */
  finish(asking: Asking, value: Uint8Array | null | undefined): void {
    const { key, askedAt } = asking;
    const list = this.#asking.get(key)!;
    list.splice(list.indexOf(asking), 1);
    if (list.length === 0) this.#asking.delete(key);
    if (value === undefined || asking.isSpoilt) return;
    const old = this.#notes.get(key);
    if (old !== undefined) {
      if (old.askedAt > askedAt) return;
      this.#drop(key, old);
    }
    const bytes = key.length * 2 + (value?.length ?? 0) + entryBytes;
    const { entriesMax, bytesMax, ttlMs } = this.#options;
    if (bytes > bytesMax || entriesMax < 1 || this.#now() - askedAt >= ttlMs) return;
    // A copy: the bytes that came are part of a larger buffer.
    this.#notes.set(key, { value: value === null ? null : new Uint8Array(value), askedAt, bytes });
    this.#bytes += bytes;
    for (const [oldest, note] of this.#notes) {
      if (this.#notes.size <= entriesMax && this.#bytes <= bytesMax) break;
      this.#drop(oldest, note);
    }
  }

  /** The key is being written, or was. */
  invalidate(key: string): void {
    const note = this.#notes.get(key);
    if (note !== undefined) this.#drop(key, note);
    for (const asking of this.#asking.get(key) ?? []) asking.isSpoilt = true;
  }

  #drop(key: string, note: Note): void {
    this.#notes.delete(key);
    this.#bytes -= note.bytes;
  }
}
