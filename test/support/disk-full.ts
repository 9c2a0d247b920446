/**
 * Fills a small disk under the disk engine, looks at what it does, and gives the space back.
 * `node disk-full.ts DIRECTORY`, where DIRECTORY is a file system of its own of about 48 MiB.
 * Prints what happened as one line of JSON.
 */

import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '../../src/adapters/clock.ts';
import { ClassicLevelStorage } from '../../src/adapters/storage-classic-level.ts';
import type { CodedError } from '../../src/base/errors.ts';

const directory = process.argv[2]!;
const events: string[] = [];
const options = {
  clock: new SystemClock(),
  log: { write: (_level: string, event: string) => void events.push(event) },
  writeBufferBytes: 2 * 1024 * 1024,
  syncIntervalMs: 100,
  hotBytesMax: 0,
};

function key(n: number): string {
  return String.fromCharCode((n >> 8) & 0x3f, n & 0xff) + String(n);
}

let state = 12345;
function valueFor(n: number): Uint8Array {
  const value = new Uint8Array(4000);
  // Bytes that do not compress.
  for (let i = 0; i < value.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    value[i] = state >>> 16;
  }
  new DataView(value.buffer).setUint32(0, n);
  return value;
}

const opened = await ClassicLevelStorage.open(join(directory, 'data'), options);
let { storage } = opened;
const write = (n: number): Promise<CodedError | undefined> =>
  new Promise((resolve) =>
    storage.write([{ key: key(n), value: valueFor(n) }], n % 50 === 0 ? 'always' : 'interval', resolve),
  );
const readable = (n: number): boolean => {
  const value = storage.get(key(n));
  return value !== undefined && new DataView(value.buffer, value.byteOffset).getUint32(0) === n;
};

const acknowledged: number[] = [];
const unknown: number[] = [];
await write(0);
acknowledged.push(0);
const { bavail, bsize } = await statfs(directory);
await writeFile(join(directory, 'ballast'), new Uint8Array(bavail * bsize - 6 * 1024 * 1024));

const errors: Record<string, number> = {};
let failed = 0;
for (let n = 1; n < 20_000 && failed < 50; n++) {
  const error = await write(n);
  if (error === undefined) acknowledged.push(n);
  else {
    const kind = `${error.code} ${error.outcome}`;
    errors[kind] = (errors[kind] ?? 0) + 1;
    if (error.outcome === 'unknown') unknown.push(n);
    failed++;
  }
}
const readableWhileFull = acknowledged.filter(readable).length;
await new Promise((resolve) => setTimeout(resolve, 2500));
const refusedWhileFull = (await write(30_000))?.code;

await rm(join(directory, 'ballast'));
const began = performance.now();
let after = 30_001;
while ((await write(after)) !== undefined && performance.now() - began < 15_000) {
  await new Promise((resolve) => setTimeout(resolve, 50));
}
acknowledged.push(after);
for (after++; after < 30_500; after++) if ((await write(after)) === undefined) acknowledged.push(after);
const recoveredMs = Math.round(performance.now() - began);
const readableAfter = acknowledged.filter(readable).length;
await new Promise((resolve) => storage.close(resolve));
const again = await ClassicLevelStorage.open(join(directory, 'data'), options);
storage = again.storage;
const readableAgain = acknowledged.filter(readable).length;
const phantom = readable(30_000);
await new Promise((resolve) => storage.close(resolve));
const report = {
  acknowledged: acknowledged.length,
  errors,
  readableWhileFull,
  refusedWhileFull,
  recoveredMs,
  readableAfter,
  readableAgain,
  phantom,
  lost: again.lost,
  events,
};
process.stdout.write(`${JSON.stringify(report)}\n`);
