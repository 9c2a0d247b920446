/**
 * The durable sequence: a small file that remembers how far the database was known to be durable.
 *
 * The picture: a notary beside the ledger. After each commit that reached stable storage, its number is
 * written here. If the ledger is later found to end before that number, pages were torn out.
 *
 * - Two slots, 4 KiB apart, written in turn: a torn write spoils one and leaves the other.
 * - Written only *after* the fsync of the commit it names, so whatever of it reaches the disk, in
 *   whatever order, names a commit that is durable: it can lag, it cannot be ahead. That is why it needs
 *   no fsync of its own for safety. `sync`, called about once a second, bounds how far it lags after a
 *   power loss (after a `kill -9` it does not lag at all: the page cache survives).
 * - The file is made, and made durable, before the first commit: a missing or unreadable file beside a
 *   database with rows means that someone or something took it away.
 */

import { closeSync, fdatasync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readU32, readU48, writeU32, writeU48 } from '../base/bytes.ts';
import { crc32Short } from '../base/crc32.ts';

const magic = 0x4453_5131; // 'DSQ1'
const recordBytes = 16;
const crcOffset = 12;
const slotDistance = 4096;

/** What the file said when it was opened: `absent` (now made), `unreadable`, or the sequence promised. */
export interface DurableSequenceFound {
  readonly state: 'absent' | 'unreadable' | 'read';
  readonly sequence: number;
}

export class DurableSequence {
  readonly found: DurableSequenceFound;
  readonly #descriptor: number;
  readonly #record = new Uint8Array(recordBytes);
  #slot: number;
  #dirty = false;

  private constructor(descriptor: number, found: DurableSequenceFound, slot: number) {
    this.#descriptor = descriptor;
    this.found = found;
    this.#slot = slot;
  }

  /** Opens the file, or makes it durably. @throws the file system's error. */
  static async open(path: string): Promise<DurableSequence> {
    let descriptor: number;
    let state: DurableSequenceFound['state'] = 'read';
    try {
      descriptor = openSync(path, 'r+');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      descriptor = openSync(path, 'wx+', 0o644);
      state = 'absent';
    }
    try {
      const a = readSlot(descriptor, 0);
      const b = readSlot(descriptor, 1);
      if (state === 'read' && a === undefined && b === undefined) state = 'unreadable';
      const sequence = Math.max(a ?? 0, b ?? 0);
      const newest = (b ?? -1) > (a ?? -1) ? 1 : 0;
      const file = new DurableSequence(descriptor, { state, sequence }, 1 - newest);
      if (state !== 'read') {
        file.write(0);
        fsyncSync(descriptor);
        await syncDirectory(dirname(path));
      }
      return file;
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  /** Notes that everything up to `sequence` is durable. In place, without an fsync: a few µs. */
  write(sequence: number): void {
    const record = this.#record;
    writeU32(record, 0, magic);
    writeU48(record, 4, sequence);
    writeU32(record, crcOffset, crc32Short(record, 0, crcOffset, 0));
    writeSync(this.#descriptor, record, 0, recordBytes, this.#slot * slotDistance);
    this.#slot = 1 - this.#slot;
    this.#dirty = true;
  }

  /** Whether something was written since the last `sync`. */
  get dirty(): boolean {
    return this.#dirty;
  }

  sync(): Promise<void> {
    this.#dirty = false;
    return new Promise((resolve, reject) => {
      fdatasync(this.#descriptor, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function readSlot(descriptor: number, slot: number): number | undefined {
  const record = new Uint8Array(recordBytes);
  if (readSync(descriptor, record, 0, recordBytes, slot * slotDistance) !== recordBytes) return undefined;
  if (readU32(record, 0) !== magic) return undefined;
  if (readU32(record, crcOffset) !== crc32Short(record, 0, crcOffset, 0)) return undefined;
  return readU48(record, 4);
}

/** Makes the names in a directory durable. Systems that cannot (Windows) do it by themselves. */
export async function syncDirectory(path: string): Promise<void> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    if (process.platform === 'win32') return;
    throw error;
  }
  try {
    await handle.sync();
  } catch (error) {
    if (process.platform !== 'win32') throw error;
  } finally {
    await handle.close();
  }
}
