/**
 * An arena for values: many short byte arrays, cut from few large slabs.
 *
 * A byte array with memory of its own costs about 2 µs of CPU to make and to collect at 1 KiB (an
 * allocation outside the heap, which the collector has to track and free); a view cut from a slab
 * costs a fifth of that. The price is garbage: a slab stays as long as one value in it does. So each
 * slab counts its live bytes, and one that falls below half is emptied: its survivors are copied into
 * the slab being filled, as a log-structured store cleans its segments (Rosenblum and Ousterhout 1992;
 * for memory, Rumble, Kejriwal and Ousterhout, "Log-structured Memory", FAST 2014).
 *
 * The picture: a notepad from which sheets are torn when most lines are crossed out, after the few
 * lines still good were copied to the newest sheet.
 *
 * Bytes once placed are never changed, so a view handed to a reader stays true for as long as the
 * reader keeps it, whatever happens to the row.
 */

export const slabBytes = 262_144;
const valueBytesMax = slabBytes / 8;

/** One slab, and who had a value cut from it. */
export interface Slab {
  readonly memory: ArrayBuffer;
  /** Bytes cut off so far. */
  used: number;
  /** Bytes of them that still belong to a tenant. */
  live: number;
  /** Everyone who got bytes here; who has moved on is told by its `slab`. */
  readonly tenants: ArenaTenant[];
  queued: boolean;
}

/** Whoever holds a value: the arena sets both fields, and moves the bytes when it cleans. */
export interface ArenaTenant {
  bytes: Uint8Array;
  slab: Slab | undefined;
}

function roomOf(length: number): number {
  return (length + 7) & ~7;
}

function slabNew(): Slab {
  return { memory: new ArrayBuffer(slabBytes), used: 0, live: 0, tenants: [], queued: false };
}

export class ByteArena {
  #current: Slab = slabNew();
  #slabs = 1;
  #largeBytes = 0;
  #sparse: Slab[] = [];

  /** Bytes of memory taken, garbage included. At most about twice the live bytes and one slab. */
  get bytes(): number {
    return this.#slabs * slabBytes + this.#largeBytes;
  }

  /** Copies `source` and gives the copy to `tenant`, which must hold nothing (new, or released). */
  place(tenant: ArenaTenant, source: Uint8Array): void {
    const length = source.length;
    if (length > valueBytesMax) {
      const bytes = new Uint8Array(length);
      bytes.set(source);
      tenant.bytes = bytes;
      tenant.slab = undefined;
      this.#largeBytes += length;
      return;
    }
    const room = roomOf(length);
    let slab = this.#current;
    if (slab.used + room > slabBytes) {
      this.#current = slabNew();
      this.#slabs++;
      this.#weigh(slab);
      slab = this.#current;
    }
    const bytes = new Uint8Array(slab.memory, slab.used, length);
    bytes.set(source);
    slab.used += room;
    slab.live += room;
    slab.tenants.push(tenant);
    tenant.bytes = bytes;
    tenant.slab = slab;
  }

  /** Takes back what `tenant` holds. Its `bytes` stay readable for whoever still looks at them. */
  release(tenant: ArenaTenant): void {
    const slab = tenant.slab;
    if (slab === undefined) {
      this.#largeBytes -= tenant.bytes.length;
      return;
    }
    slab.live -= roomOf(tenant.bytes.length);
    tenant.slab = undefined;
    if (slab !== this.#current) this.#weigh(slab);
  }

  /** Empties the slabs that fell below half. Call it after a batch; it copies half a slab each. */
  tidy(): void {
    while (this.#sparse.length > 0) {
      const slab = this.#sparse.pop()!;
      for (const tenant of slab.tenants) {
        if (tenant.slab === slab) this.place(tenant, tenant.bytes);
      }
      slab.tenants.length = 0;
      this.#slabs--;
    }
  }

  /** Notes a slab, no longer being filled, that is mostly garbage. */
  #weigh(slab: Slab): void {
    if (slab.queued || slab.live * 2 >= slabBytes) return;
    slab.queued = true;
    this.#sparse.push(slab);
  }
}
