/**
 * A process that writes rows until it is killed, and prints the number of each row whose completion
 * came. `node storage-writer.ts DIRECTORY DURABILITY`
 */

import { writeSync } from 'node:fs';
import { SystemClock } from '../../src/adapters/clock.ts';
import { ClassicLevelStorage } from '../../src/adapters/storage-classic-level.ts';
import { LOG_SILENT } from '../../src/ports/log.ts';
import type { Durability } from '../../src/ports/storage.ts';

const [directory, durability] = process.argv.slice(2);
const { storage } = await ClassicLevelStorage.open(directory!, {
  clock: new SystemClock(),
  log: LOG_SILENT,
  // Small, so that LevelDB changes logs and writes tables while it is killed.
  writeBufferBytes: 1024 * 1024,
  syncIntervalMs: 50,
});

let next = 0;
function writeOne(): void {
  const n = next++;
  const key = String.fromCharCode((n >> 8) & 0x3f, n & 0xff) + String(n).padStart(8, '0');
  const value = new Uint8Array(200 + (n % 1000)).fill(n & 0xff);
  storage.write([{ key, value }], durability as Durability, (error) => {
    if (error !== undefined) throw error;
    // Synchronous: what was printed is out of this process when it dies.
    writeSync(1, `${n}\n`);
    writeOne();
  });
}
for (let i = 0; i < 16; i++) writeOne();
