/**
 * The memory engine: a store, or with a bound and an eviction policy, a cache.
 *
 * The picture: rows lie in slabs (`byte-arena.ts`), each under a number; an index (`row-index.ts`) leads
 * from the hash of a key to the number, and a ledger (`row-table.ts`) from the number to the place. A
 * `get` at random among many rows waits for memory more than it computes, and this way it waits for three
 * cache lines, one after the other: index, ledger, row. Nothing of it is an object of the heap.
 * Beside it stands a wall of 16384 pigeonholes, one a slot, with the names of the keys that lie there.
 * Order is only made when somebody asks for a range: the pigeonhole then sorts its names and keeps the
 * list (new ones are merged in at the next range, deleted ones are skipped), so writes never pay for it.
 * Eviction is Redis's sampling (`eviction.ts`).
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
import { ByteArena } from './byte-arena.ts';
import { type EvictionPolicy, Evictor, tickMs } from './eviction.ts';
import { KeyWords } from './key-words.ts';
import { RowIndex } from './row-index.ts';
import { RowTable } from './row-table.ts';

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
 * Bytes of memory a row takes beside its key and its value: the header of its record, its places in the
 * index and the table (both just doubled), and its name in the list of its slot. Measured with
 * process.memoryUsage over 10^6 rows spread over all slots (docs/design/storage.md).
 */
export const rowOverheadBytes = 140;

/** Keys from here on are meta keys: never evicted. */
const metaCode = 0xff;

/** Whether a key is there. */
type Known = (key: ByteString) => boolean;

/** The names of the keys of one slot (or, for short and meta keys, of one two-char prefix). */
class Hole {
  /** Names in order; some may be gone. */
  #sorted: ByteString[] = [];
  /** Names that came since, in the order they came; some may be gone, or here twice. */
  #added: ByteString[] = [];
  /** Keys that are there. */
  size = 0;

  keyAdded(key: ByteString, known: Known): void {
    this.size++;
    this.#added.push(key);
    // Keys come and go and nobody asks for a range: forget those that are gone rather than grow.
    if (this.#sorted.length + this.#added.length > this.size * 2 + 64) this.keys(known);
  }

  /** The names in order. */
  keys(known: Known): readonly ByteString[] {
    if (this.#added.length > 0) {
      this.#sorted = merged(this.#sorted, this.#added.sort(compareText));
      this.#added = [];
    }
    if (this.#sorted.length > this.size) this.#sorted = this.#sorted.filter(known);
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
  readonly evicts: boolean;
  readonly #clock: Clock;
  readonly #bytesMax: number;
  readonly #policy: EvictionPolicy;
  readonly #onEvict: ((key: ByteString) => void) | undefined;
  /** The key in hand. */
  readonly #key: KeyWords;
  readonly #index = new RowIndex();
  readonly #table: RowTable;
  readonly #arena: ByteArena;
  readonly #evictor: Evictor;
  readonly #known: Known = (key) => this.#find(key) !== 0;
  /** Time that ticks are counted from. */
  readonly #origin: number;
  readonly #holes: (Hole | undefined)[] = new Array(65_536).fill(undefined);
  #bytes = 0;
  /** Bytes of them that can never be evicted. */
  #metaBytes = 0;
  #evictions = 0;
  #commits = 0;
  /** The last batch did not fit. */
  #full = false;
  #closed = false;

  constructor(options: MemoryStorageOptions) {
    this.#clock = options.clock;
    this.#bytesMax = options.memoryBytesMax ?? 0;
    this.#policy = options.evictionPolicy ?? 'none';
    this.evicts = this.#policy !== 'none';
    this.#onEvict = options.onEvict;
    this.#key = new KeyWords(options.random.u32(), options.random.u32());
    this.#table = new RowTable(this.#policy === 'lfu');
    this.#arena = new ByteArena(this.#table);
    this.#evictor = new Evictor(this.#table, this.#policy, options.random);
    this.#origin = options.clock.monotonic();
  }

  get(key: ByteString): Uint8Array | undefined {
    const row = this.#find(key);
    if (row === 0) return undefined;
    this.#evictor.use(row, this.#now());
    return this.#arena.value(row);
  }

  write(batch: readonly StorageWrite[], _durability: Durability, done: (error?: CodedError) => void): void {
    assert(!this.#closed, 'nothing is written to a closed engine');
    if (this.#bytesMax > 0) {
      const refused = this.#refusal(batch);
      this.#full = refused !== undefined;
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
      const keys = hole.keys(this.#known);
      for (let i = at === first ? lowerBound(keys, from) : 0; i < keys.length; i++) {
        const key = keys[i]!;
        if (key >= to || entries.length === limit) break;
        const row = this.#find(key);
        if (row !== 0) entries.push({ key, value: this.#arena.value(row) });
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
      full: this.#full,
    };
  }

  close(done: (error?: CodedError) => void): void {
    this.#closed = true;
    this.#holes.fill(undefined);
    this.#index.clear();
    this.#table.clear();
    this.#arena.clear();
    this.#evictor.clear();
    done();
  }

  idleSeconds(key: ByteString): number | undefined {
    const row = this.#find(key);
    return row === 0 ? undefined : Math.floor((this.#evictor.idle(row, this.#now()) * tickMs) / 1000);
  }

  /** Only counted under the policy `lfu`; undefined under the others. */
  frequency(key: ByteString): number | undefined {
    if (this.#policy !== 'lfu') return undefined;
    const row = this.#find(key);
    return row === 0 ? undefined : this.#evictor.counterDecayed(row, this.#now());
  }

  /** Memory taken for keys and values, with the garbage that cleaning has not got to. For figures and tests. */
  get arenaBytes(): number {
    return this.#arena.bytes;
  }

  /** The row of a key, or 0. The key is in hand after it. */
  #find(key: ByteString): number {
    const wanted = this.#key;
    wanted.read(key);
    let row = this.#index.find(wanted.hash);
    while (row !== 0 && !this.#arena.isKey(row, wanted)) row = this.#index.find(wanted.hash, row);
    return row;
  }

  /** The time in ticks, a 32-bit integer. */
  #now(): number {
    return (((this.#clock.coarse?.() ?? this.#clock.monotonic()) - this.#origin) / tickMs) | 0;
  }

  #put(key: ByteString, value: Uint8Array, now: number): void {
    const at = holeOf(key);
    const meta = at >>> 8 === metaCode;
    let row = this.#find(key);
    const isNew = row === 0;
    let change: number;
    if (isNew) {
      row = this.#table.add();
      this.#index.insert(this.#key.hash, row);
      this.#evictor.add(row, now, this.#policy !== 'none' && !meta);
      change = costOf(key, value.length);
    } else {
      change = value.length - this.#arena.valueLength(row);
      this.#arena.release(row);
      this.#evictor.use(row, now);
    }
    this.#arena.place(row, this.#key, value);
    this.#bytes += change;
    if (meta) this.#metaBytes += change;
    if (!isNew) return;
    // Last, since it may look up other keys.
    const hole = this.#holes[at] ?? new Hole();
    this.#holes[at] = hole;
    hole.keyAdded(key, this.#known);
  }

  #delete(key: ByteString): void {
    const at = holeOf(key);
    const row = this.#find(key);
    const hole = this.#holes[at];
    if (hole === undefined || row === 0) return;
    hole.size--;
    if (hole.size === 0) this.#holes[at] = undefined;
    const cost = costOf(key, this.#arena.valueLength(row));
    this.#bytes -= cost;
    if (at >>> 8 === metaCode) this.#metaBytes -= cost;
    this.#evictor.remove(row);
    this.#arena.release(row);
    this.#index.remove(this.#key.hash, row);
    this.#table.remove(row);
  }

  #evict(now: number): void {
    while (this.#bytes > this.#bytesMax) {
      const row = this.#evictor.choose(now);
      if (row === 0) return;
      const key = this.#arena.key(row);
      this.#delete(key);
      this.#evictions++;
      this.#onEvict?.(key);
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
      const row = counted ? this.#find(key) : 0;
      growth += cost - (row === 0 ? 0 : costOf(key, this.#arena.valueLength(row)));
    }
    return growth;
  }
}
