/**
 * Checks LevelDB's tables block by block, because LevelDB does not: by default it trusts what it reads, and a
 * flipped bit in a table may hide keys, or end the process in the middle of a read.
 *
 * The picture: an inspector who is called after an accident. Reading all tables takes about 3 ms a MiB, too
 * much for every start of a large database; so it is done when the process before ended without a word soon
 * after it had opened the database (`trial`, in `classic-level-open.ts`), as it does when a damaged block
 * brings it down.
 *
 * The format is LevelDB's `doc/table_format.md`: blocks, each followed by its compression (0 none, 1 snappy)
 * and a masked CRC-32C; an index block whose values say where they lie; a footer that says where that is.
 */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c, masked } from './leveldb-log.ts';

const footerBytes = 48;
const trailerBytes = 5;
/** The last eight bytes of every table. */
const magic = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
const snappy = 1;
const blockBytesMax = 256 * 1024 * 1024;

class Damage extends Error {}

/** A place in the bytes, moved by reading. */
interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function varint(cursor: Cursor): number {
  let value = 0;
  for (let factor = 1; factor < 2 ** 50; factor *= 128) {
    const byte = cursor.bytes[cursor.at++];
    if (byte === undefined) throw new Damage('a number is cut off');
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
  throw new Damage('a number is too long');
}

/** A block's contents, after its checksum was found right. */
function block(table: Uint8Array, offset: number, size: number): Uint8Array {
  const end = offset + size;
  if (end + trailerBytes > table.length)
    throw new Damage(`the block at byte ${offset} lies outside the file`);
  const t = table;
  const stored = (t[end + 1]! | (t[end + 2]! << 8) | (t[end + 3]! << 16) | (t[end + 4]! << 24)) >>> 0;
  if (masked(crc32c(table, offset, end + 1)) !== stored) {
    throw new Damage(`the block at byte ${offset} fails its checksum`);
  }
  return table.subarray(offset, end);
}

/** Snappy's format, decompressed. (github.com/google/snappy, format_description.txt) */
export function unsnap(bytes: Uint8Array): Uint8Array {
  const cursor: Cursor = { bytes, at: 0 };
  const length = varint(cursor);
  if (length > blockBytesMax) throw new Damage('a block is too large');
  const out = new Uint8Array(length);
  let to = 0;
  const little = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++) value += (bytes[cursor.at++] ?? 0) * 256 ** i;
    return value;
  };
  while (cursor.at < bytes.length) {
    const tag = bytes[cursor.at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      const inTag = tag >> 2;
      const size = 1 + (inTag < 60 ? inTag : little(inTag - 59));
      if (to + size > length || cursor.at + size > bytes.length) throw new Damage('a literal is too long');
      out.set(bytes.subarray(cursor.at, cursor.at + size), to);
      cursor.at += size;
      to += size;
      continue;
    }
    const size = kind === 1 ? 4 + ((tag >> 2) & 7) : 1 + (tag >> 2);
    const back = kind === 1 ? ((tag >> 5) << 8) + little(1) : little(kind === 2 ? 2 : 4);
    if (back === 0 || back > to || to + size > length) throw new Damage('a copy is out of bounds');
    for (let i = 0; i < size; i++, to++) out[to] = out[to - back]!;
  }
  if (to !== length) throw new Damage('a block ends early');
  return out;
}

/** Checks one table. @throws Damage */
function checkTable(table: Uint8Array): void {
  const footerAt = table.length - footerBytes;
  if (footerAt < 0 || magic.some((byte, i) => table[table.length - 8 + i] !== byte)) {
    throw new Damage('it does not end as a table does');
  }
  const footer: Cursor = { bytes: table, at: footerAt };
  // The first points to the block of filters, the second to the blocks of rows.
  checkIndex(table, varint(footer), varint(footer));
  checkIndex(table, varint(footer), varint(footer));
}

/** Checks an index block, and each block that it points to. */
function checkIndex(table: Uint8Array, offset: number, size: number): void {
  const stored = block(table, offset, size);
  const index = table[offset + size] === snappy ? unsnap(stored) : stored;
  const last = index.length - 4;
  if (last < 0) throw new Damage('an index is empty');
  const restarts = index[last]! + index[last + 1]! * 256 + index[last + 2]! * 65_536;
  const cursor: Cursor = { bytes: index, at: 0 };
  while (cursor.at < last - 4 * restarts) {
    varint(cursor);
    const keyBytes = varint(cursor);
    const valueBytes = varint(cursor);
    const value: Cursor = { bytes: index, at: cursor.at + keyBytes };
    block(table, varint(value), varint(value));
    cursor.at += keyBytes + valueBytes;
  }
}

/** Checks every table in a LevelDB directory. @returns what is damaged, in words; undefined if nothing is. */
export async function findDamage(directory: string): Promise<string | undefined> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names.filter((each) => each.endsWith('.ldb') || each.endsWith('.sst'))) {
    try {
      checkTable(await readFile(join(directory, name)));
    } catch (error) {
      if (error instanceof Damage) return `table ${name}: ${error.message}`;
      throw error;
    }
  }
  return undefined;
}
