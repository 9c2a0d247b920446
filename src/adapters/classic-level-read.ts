/** What the disk engine reads from LevelDB and from its directory, apart from single rows. */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { byteString } from '../base/bytes.ts';
import type { RangeQuery, StorageEntry } from '../ports/storage.ts';
import type { Database } from './classic-level-open.ts';

const pageBytes = 1024 * 1024;
const pageEntries = 1000;

/** The entries of a stretch, from a snapshot made now, in pages of at most 1 MiB. @throws LevelDB's error. */
export async function readRange(database: Database, query: RangeQuery): Promise<StorageEntry[]> {
  const { from, to, limit } = query;
  const entries: StorageEntry[] = [];
  const iterator = database.iterator<Uint8Array, Uint8Array>({
    gte: Buffer.from(from, 'latin1'),
    lt: Buffer.from(to, 'latin1'),
    limit,
    highWaterMarkBytes: pageBytes,
  });
  try {
    while (entries.length < limit) {
      const page = await iterator.nextv(Math.min(pageEntries, limit - entries.length));
      if (page.length === 0) break;
      for (const [key, value] of page) entries.push({ key: byteString(key), value });
    }
  } finally {
    await iterator.close();
  }
  return entries;
}

/** Bytes of all files in a directory; 0 when it cannot be read. */
export async function directoryBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory).catch(() => [])) {
    bytes += (await stat(join(directory, name)).catch(() => ({ size: 0 }))).size;
  }
  return bytes;
}
