/**
 * The memory engine: a store, or with a bound and an eviction policy, a cache.
 *
 * The picture: 64 card files, by the first byte of the key, where a `get` is one Map lookup; and a wall of
 * 16384 pigeonholes, one a slot, with the names of the keys that lie there. Order is only made when
 * somebody asks for a range: the pigeonhole then sorts its names and keeps the list (new ones are merged
 * in at the next range, deleted ones are skipped), so writes never pay for it.
 * Values live in an arena (`byte-arena.ts`); eviction is Redis's sampling (`eviction.ts`).
 *
 * `done` is called before `write` returns: there is nothing to wait for.
 */

import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type {
  Durability,
  RangeQuery,
  Storage,
  StorageEntry,
  StorageFigures,
  StorageUsage,
  StorageWrite,
} from '../ports/storage.ts';
import { type ArenaTenant, ByteArena, type Slab } from './byte-arena.ts';
import {
  COUNTER_NEW,
  counterDecayed,
  counterRaise,
  type EvictionPolicy,
  type EvictionRow,
  Evictor,
} from './eviction.ts';

export interface MemoryStorageOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Bound on keys, values and their overhead, in bytes; 0 (the default) for none. */
  readonly memoryBytesMax?: number;
  /** What to do at the bound: `none` (the default) refuses writes; `lru` and `lfu` drop rows. */
  readonly evictionPolicy?: EvictionPolicy;
  /** Called for each row dropped, once it is gone. It must not call the engine. */
  readonly onEvict?: (key: ByteString) => void;
}

/**
 * Bytes of memory a row takes beside its key and its value: the row object, the view of its value, the
 * header of the key string, its place in the Map, the list of rows and the arena. Measured with
 * process.memoryUsage over 10^6 rows spread over all slots (docs/design/storage.md).
 */
export const rowOverheadBytes = 300;

const bytesNone = new Uint8Array(0);
/** Keys from here on are meta keys: never evicted. */
const metaCode = 0xff;

class Row implements ArenaTenant, EvictionRow {
  readonly key: ByteString;
  bytes: Uint8Array = bytesNone;
  slab: Slab | undefined = undefined;
  place = -1;
  usedAt: number;
  counter: number = COUNTER_NEW;

  constructor(key: ByteString, usedAt: number) {
    this.key = key;
    this.usedAt = usedAt;
  }
}

type Rows = Map<ByteString, Row>;

/** The names of the keys of one slot (or, for short and meta keys, of one two-char prefix). */
class Hole {
  /** Names in order; some may be gone. */
  #sorted: ByteString[] = [];
  /** Names that came since, in the order they came; some may be gone, or here twice. */
  #added: ByteString[] = [];
  /** Keys that are there. */
  size = 0;

  keyAdded(key: ByteString, rows: Rows): void {
    this.size++;
    this.#added.push(key);
    // Keys come and go and nobody asks for a range: forget those that are gone rather than grow.
    if (this.#sorted.length + this.#added.length > this.size * 2 + 64) this.keys(rows);
  }

  /** The names in order. */
  keys(rows: Rows): readonly ByteString[] {
    if (this.#added.length > 0) {
      this.#sorted = merged(this.#sorted, this.#added.sort(compareText));
      this.#added = [];
    }
    if (this.#sorted.length > this.size) this.#sorted = this.#sorted.filter((key) => rows.has(key));
    return this.#sorted;
  }
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Two ordered lists as one, each key once. */
function merged(a: readonly ByteString[], b: readonly ByteString[]): ByteString[] {
  const out: ByteString[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const key = j === b.length || (i < a.length && a[i]! <= b[j]!) ? a[i++]! : b[j++]!;
    if (out.length === 0 || out[out.length - 1] !== key) out.push(key);
  }
  return out;
}

/** Index of the first key not less than `from`. */
function lowerBound(keys: readonly ByteString[], from: ByteString): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The pigeonhole of a key: its first two chars; a missing char counts as 0, which keeps the order. */
function holeOf(key: ByteString): number {
  return (key.charCodeAt(0) << 8) | key.charCodeAt(1);
}

function costOf(key: ByteString, valueLength: number): number {
  return key.length + valueLength + rowOverheadBytes;
}

export class MemoryStorage implements Storage, StorageUsage {
  readonly engine = 'memory';
  readonly durable = false;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #bytesMax: number;
  readonly #policy: EvictionPolicy;
  readonly #onEvict: ((key: ByteString) => void) | undefined;
  /** By the first char of the key: a Map of all rows would end at 2^24 of them. */
  readonly #files: Rows[] = Array.from({ length: 256 }, () => new Map());
  readonly #holes: (Hole | undefined)[] = new Array(65_536).fill(undefined);
  readonly #arena = new ByteArena();
  readonly #evictor: Evictor<Row>;
  #bytes = 0;
  /** Bytes of them that can never be evicted. */
  #metaBytes = 0;
  #evictions = 0;
  #commits = 0;
  #closed = false;

  constructor(options: MemoryStorageOptions) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#bytesMax = options.memoryBytesMax ?? 0;
    this.#policy = options.evictionPolicy ?? 'none';
    this.#onEvict = options.onEvict;
    this.#evictor = new Evictor(this.#policy, options.random);
  }

  get(key: ByteString): Uint8Array | undefined {
    const row = this.#rowsOf(key).get(key);
    if (row === undefined) return undefined;
    this.#use(row);
    return row.bytes;
  }

  write(batch: readonly StorageWrite[], _durability: Durability, done: (error?: CodedError) => void): void {
    assert(!this.#closed, 'nothing is written to a closed engine');
    if (this.#bytesMax > 0) {
      const refused = this.#refusal(batch);
      if (refused !== undefined) {
        done(refused);
        return;
      }
    }
    const now = this.#now();
    for (const { key, value } of batch) {
      if (value === undefined) this.#delete(key);
      else this.#put(key, value, now);
    }
    if (this.#bytesMax > 0 && this.#bytes > this.#bytesMax) this.#evict(now);
    this.#arena.tidy();
    this.#commits++;
    done();
  }

  range(
    query: RangeQuery,
    done: (error: CodedError | undefined, entries: readonly StorageEntry[]) => void,
  ): void {
    const { from, to, limit } = query;
    assert(limit >= 1 && limit <= 10_000, 'a range asks for 1 to 10,000 entries');
    const entries: StorageEntry[] = [];
    const first = holeOf(from);
    const last = holeOf(to);
    for (let at = first; at <= last && entries.length < limit; at++) {
      const hole = this.#holes[at];
      if (hole === undefined || hole.size === 0) continue;
      const rows = this.#files[at >>> 8]!;
      const keys = hole.keys(rows);
      for (let i = at === first ? lowerBound(keys, from) : 0; i < keys.length; i++) {
        const key = keys[i]!;
        if (key >= to || entries.length === limit) break;
        const row = rows.get(key);
        if (row !== undefined) entries.push({ key, value: row.bytes });
      }
    }
    done(undefined, entries);
  }

  figures(): StorageFigures {
    return {
      bytesMemory: this.#bytes,
      bytesDisk: 0,
      evictions: this.#evictions,
      commits: this.#commits,
      syncs: 0,
    };
  }

  close(done: (error?: CodedError) => void): void {
    this.#closed = true;
    this.#holes.fill(undefined);
    for (const rows of this.#files) rows.clear();
    this.#evictor.clear();
    done();
  }

  idleSeconds(key: ByteString): number | undefined {
    const row = this.#rowsOf(key).get(key);
    return row === undefined ? undefined : Math.floor((this.#now() - row.usedAt) / 1000);
  }

  /** Only counted under the policy `lfu`; undefined under the others. */
  frequency(key: ByteString): number | undefined {
    if (this.#policy !== 'lfu') return undefined;
    const row = this.#rowsOf(key).get(key);
    return row === undefined ? undefined : counterDecayed(row, this.#now());
  }

  /** Memory taken for values, with the garbage that cleaning has not got to. For figures and tests. */
  get arenaBytes(): number {
    return this.#arena.bytes;
  }

  #rowsOf(key: ByteString): Rows {
    return this.#files[key.length === 0 ? 0 : key.charCodeAt(0)]!;
  }

  /** Whole milliseconds, so that a row holds a small integer and not a boxed double. */
  #now(): number {
    return Math.floor(this.#clock.coarse?.() ?? this.#clock.monotonic());
  }

  #use(row: Row): void {
    if (this.#policy === 'lfu') counterRaise(row, this.#now(), this.#random);
    else row.usedAt = this.#now();
  }

  #put(key: ByteString, value: Uint8Array, now: number): void {
    const at = holeOf(key);
    const rows = this.#rowsOf(key);
    let row = rows.get(key);
    let change: number;
    if (row === undefined) {
      row = new Row(key, now);
      rows.set(key, row);
      const hole = this.#holes[at] ?? new Hole();
      this.#holes[at] = hole;
      hole.keyAdded(key, rows);
      if (this.#policy !== 'none' && at >>> 8 !== metaCode) this.#evictor.add(row);
      change = costOf(key, value.length);
    } else {
      change = value.length - row.bytes.length;
      this.#arena.release(row);
      if (this.#policy === 'lfu') counterRaise(row, now, this.#random);
      else row.usedAt = now;
    }
    this.#arena.place(row, value);
    this.#bytes += change;
    if (at >>> 8 === metaCode) this.#metaBytes += change;
  }

  #delete(key: ByteString): boolean {
    const at = holeOf(key);
    const rows = this.#rowsOf(key);
    const row = rows.get(key);
    const hole = this.#holes[at];
    if (hole === undefined || row === undefined) return false;
    rows.delete(key);
    hole.size--;
    if (hole.size === 0) this.#holes[at] = undefined;
    const cost = costOf(key, row.bytes.length);
    this.#bytes -= cost;
    if (at >>> 8 === metaCode) this.#metaBytes -= cost;
    if (row.place !== -1) this.#evictor.remove(row);
    this.#arena.release(row);
    return true;
  }

  #evict(now: number): void {
    while (this.#bytes > this.#bytesMax) {
      const row = this.#evictor.choose(now);
      if (row === undefined) return;
      this.#delete(row.key);
      this.#evictions++;
      this.#onEvict?.(row.key);
    }
  }

  /** Why a batch cannot be taken: it would pass the bound and nothing may be dropped for it. */
  #refusal(batch: readonly StorageWrite[]): CodedError | undefined {
    let puts = 0;
    for (const { key, value } of batch) if (value !== undefined) puts += costOf(key, value.length);
    const floor = this.#policy === 'none' ? this.#bytes : this.#metaBytes;
    if (puts === 0 || floor + puts <= this.#bytesMax) return undefined;
    const growth = this.#growth(batch);
    if (growth <= 0 || floor + growth <= this.#bytesMax) return undefined;
    return new CodedError(
      'storage-full',
      'fail',
      `memory is full: ${this.#bytes} of ${this.#bytesMax} bytes are used and the write needs ${growth} more; ` +
        'delete keys, raise memoryBytesMax, or set an eviction policy (lru, lfu)',
    );
  }

  /** By how much a batch raises the floor that `#refusal` counts from. Rare, so exact and unhurried. */
  #growth(batch: readonly StorageWrite[]): number {
    const finalCosts = new Map<ByteString, number>();
    for (const { key, value } of batch) {
      finalCosts.set(key, value === undefined ? 0 : costOf(key, value.length));
    }
    let growth = 0;
    for (const [key, cost] of finalCosts) {
      const counted = this.#policy === 'none' || key.charCodeAt(0) === metaCode;
      const row = counted ? this.#rowsOf(key).get(key) : undefined;
      growth += cost - (row === undefined ? 0 : costOf(key, row.bytes.length));
    }
    return growth;
  }
}
