/**
 * Hot rows: a bounded cache of rows in front of a disk engine, in two generations.
 *
 * The picture: two trays. New and used rows go on the young one; when it is full it becomes the old
 * one, and what still lay on the old one is thrown away. A row used from the old tray moves to the
 * young one. This keeps what was used lately for the cost of a Map lookup, with no list to reorder, and
 * the memory of a whole tray is given back at once: values are cut from slabs, and a tray counts its
 * slabs and not what of them is still wanted, so the bound is honest.
 *
 * Rows come here when they are read. A write only refreshes what is here already (`refresh`): rows that
 * are written and not read would push out those that are, and copying each would cost more than it saves.
 */

import type { ByteString } from '../base/bytes.ts';

const slabBytes = 262_144;
/** An estimate: Map entry, view, key header. */
const rowOverheadBytes = 200;

class Tray {
  readonly rows: Map<ByteString, Uint8Array | null> = new Map();
  bytes = 0;
}

export class HotRows {
  readonly #trayBytesMax: number;
  readonly #valueBytesMax: number;
  #young = new Tray();
  #old = new Tray();
  #slab = new ArrayBuffer(0);
  #slabUsed = 0;

  /** `bytesMax` bounds both trays together; 0 keeps nothing. */
  constructor(bytesMax: number) {
    this.#trayBytesMax = bytesMax / 2;
    this.#valueBytesMax = Math.min(slabBytes, Math.floor(bytesMax / 8));
  }

  get bytes(): number {
    return this.#young.bytes + this.#old.bytes;
  }

  /** The value, `null` when the key is known to be absent, undefined when nothing is known. */
  get(key: ByteString): Uint8Array | null | undefined {
    const young = this.#young.rows.get(key);
    if (young !== undefined) return young;
    const old = this.#old.rows.get(key);
    // Copied when it moves on, so that it does not hold back the memory of the old tray.
    if (old !== undefined) this.put(key, old);
    return old;
  }

  /**
   * Keeps a copy of `value` (`null`: absent) and returns the copy; or returns undefined, forgetting the
   * key, when the value is too large to keep.
   */
  put(key: ByteString, value: Uint8Array | null): Uint8Array | null | undefined {
    const length = value === null ? 0 : value.length;
    if (length > this.#valueBytesMax || this.#trayBytesMax === 0) {
      this.#young.rows.delete(key);
      this.#old.rows.delete(key);
      return undefined;
    }
    const copy = value === null ? null : this.#copy(value);
    this.#young.rows.set(key, copy);
    this.#young.bytes += rowOverheadBytes + key.length;
    if (this.#young.bytes >= this.#trayBytesMax) this.#turn();
    return copy;
  }

  /** A key was written (`null`: deleted): what is kept of it, if anything, must say so. */
  refresh(key: ByteString, value: Uint8Array | null): void {
    if (this.#young.rows.has(key) || this.#old.rows.has(key)) this.put(key, value);
  }

  /** Forgets everything. */
  clear(): void {
    this.#turn();
    this.#turn();
  }

  #turn(): void {
    this.#old = this.#young;
    this.#young = new Tray();
    this.#slab = new ArrayBuffer(0);
    this.#slabUsed = 0;
  }

  #copy(value: Uint8Array): Uint8Array {
    const length = value.length;
    if (this.#slabUsed + length > this.#slab.byteLength) {
      // Small caches get small slabs: half a tray would be one slab otherwise.
      const size = Math.max(length, Math.min(slabBytes, Math.floor(this.#trayBytesMax / 8)));
      this.#slab = new ArrayBuffer(size);
      this.#slabUsed = 0;
      this.#young.bytes += size;
    }
    const copy = new Uint8Array(this.#slab, this.#slabUsed, length);
    copy.set(value);
    this.#slabUsed += (length + 7) & ~7;
    return copy;
  }
}
