/** The disk engine: the conformance suite, what survives a kill, what a damaged disk tells. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { SystemClock } from '../../../src/adapters/clock.ts';
import { DurableSequence } from '../../../src/adapters/durable-sequence.ts';
import { HotRows } from '../../../src/adapters/hot-rows.ts';
import {
  type ClassicLevelOpened,
  type ClassicLevelOptions,
  ClassicLevelStorage,
} from '../../../src/adapters/storage-classic-level.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import type { Log } from '../../../src/ports/log.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import type { Durability, StorageEntry, StorageWrite } from '../../../src/ports/storage.ts';
import { storageConformance } from '../../conformance/storage.ts';

function optionsOf(more: Partial<ClassicLevelOptions> = {}): ClassicLevelOptions {
  return { clock: new SystemClock(), log: LOG_SILENT, writeBufferBytes: 1024 * 1024, ...more };
}

async function directoryOf(context?: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'dure-storage-'));
  context?.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

function write(
  storage: ClassicLevelStorage,
  batch: readonly StorageWrite[],
  durability: Durability = 'interval',
): Promise<CodedError | undefined> {
  return new Promise((resolve) => storage.write(batch, durability, resolve));
}

function range(storage: ClassicLevelStorage, from = '', to = '\xff'): Promise<readonly StorageEntry[]> {
  return new Promise((resolve, reject) =>
    storage.range({ from, to, limit: 10_000 }, (error, entries) =>
      error ? reject(error) : resolve(entries),
    ),
  );
}

function close(storage: ClassicLevelStorage): Promise<CodedError | undefined> {
  return new Promise((resolve) => storage.close(resolve));
}

function key(n: number): string {
  return String.fromCharCode((n >> 8) & 0x3f, n & 0xff) + String(n).padStart(8, '0');
}

function row(n: number, bytes = 1000): StorageWrite {
  return { key: key(n), value: new Uint8Array(bytes).fill(n & 0xff) };
}

for (const [name, more] of [
  ['classic-level', {}],
  ['classic-level without hot rows', { hotBytesMax: 0 }],
  ['classic-level with a few hot rows', { hotBytesMax: 10_000 }],
] as const) {
  storageConformance(
    name,
    async () => {
      const directory = await directoryOf();
      const { storage } = await ClassicLevelStorage.open(directory, optionsOf(more));
      return {
        storage,
        reopen: async () => (await ClassicLevelStorage.open(directory, optionsOf(more))).storage,
        close: () => rm(directory, { recursive: true, force: true }),
      };
    },
    { runs: 25 },
  );
}

describe('classic-level: group commit', () => {
  it('commits all that waits together, with one fsync for all that ask for it', async (context) => {
    const { storage } = await ClassicLevelStorage.open(await directoryOf(context), optionsOf());
    await Promise.all(
      Array.from({ length: 200 }, (_, i) => write(storage, [row(i)], i % 2 ? 'always' : 'interval')),
    );
    const { commits, syncs } = storage.figures();
    assert.equal(commits, 2, 'the first alone, the others together');
    assert.equal(syncs, 1);
    await close(storage);
  });

  it('refuses writes past the bound of the queue', async (context) => {
    const directory = await directoryOf(context);
    const { storage } = await ClassicLevelStorage.open(directory, optionsOf({ queueBytesMax: 50_000 }));
    const outcomes = await Promise.all(Array.from({ length: 200 }, (_, i) => write(storage, [row(i)])));
    const refused = outcomes.filter((error) => error !== undefined);
    assert.ok(refused.length > 100 && refused.length < 190);
    assert.ok(refused.every((error) => error.code === 'overloaded' && error.outcome === 'fail'));
    assert.equal((await range(storage)).length, 200 - refused.length);
    assert.equal(await write(storage, [row(1)]), undefined);
    await close(storage);
  });

  it('syncs interval commits within the interval, and only then', async (context) => {
    const directory = await directoryOf(context);
    const { storage } = await ClassicLevelStorage.open(directory, optionsOf({ syncIntervalMs: 400 }));
    await Promise.all([write(storage, [row(1)]), write(storage, [row(2)])]);
    assert.equal(storage.figures().syncs, 0);
    for (let i = 0; storage.figures().syncs === 0 && i < 1000; i++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.equal(storage.figures().syncs, 1);
    const copy = await DurableSequence.open(join(directory, 'durable-sequence'));
    assert.deepEqual(copy.found, { state: 'read', sequence: 2 });
    copy.close();
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(storage.figures().syncs, 1, 'nothing new, nothing to sync');
    await close(storage);
  });

  it('a cold read never hides a write under way', async (context) => {
    const directory = await directoryOf(context);
    // So small that rows are dropped all the time while batches are under way.
    const { storage } = await ClassicLevelStorage.open(directory, optionsOf({ hotBytesMax: 6000 }));
    const random = new Prng(11);
    const done = new Map<number, number>();
    let version = 0;
    for (let round = 0; round < 300; round++) {
      const writes = Array.from({ length: 8 }, () => {
        const n = random.below(12);
        const v = ++version;
        const bytes = new Uint8Array(random.chance(0.2) ? 3000 : 400);
        new DataView(bytes.buffer).setUint32(0, v);
        return write(storage, [{ key: key(n), value: bytes }]).then(() =>
          done.set(n, Math.max(v, done.get(n) ?? 0)),
        );
      });
      for (let i = 0; i < 20; i++) storage.get(key(random.below(12)));
      await Promise.all(writes);
      for (const [n, v] of done) {
        const bytes = storage.get(key(n))!;
        assert.equal(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0), v);
      }
    }
    await close(storage);
  });
});

describe('classic-level: what survives', () => {
  it('keeps its commit sequence over clean restarts, and promises it', async (context) => {
    const directory = await directoryOf(context);
    let expected = 0;
    for (let start = 0; start < 4; start++) {
      const opened = await ClassicLevelStorage.open(directory, optionsOf());
      assert.deepEqual(
        [opened.sequenceFound, opened.sequencePromised, opened.lost],
        [expected, expected, false],
      );
      for (let i = 0; i < 5; i++) await write(opened.storage, [row(i)], i === 2 ? 'always' : 'interval');
      expected += 5;
      assert.equal(await close(opened.storage), undefined);
    }
  });

  for (const durability of ['interval', 'always']) {
    it(`every acknowledged row outlives kill -9, ${durability}`, async (context) => {
      const directory = await directoryOf(context);
      const script = join(import.meta.dirname, '../../support/storage-writer.ts');
      const child = spawn(process.execPath, [script, directory, durability], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let printed = '';
      const enough = durability === 'interval' ? 6000 : 600;
      child.stdout.setEncoding('latin1');
      const exited = once(child, 'close');
      child.stdout.on('data', (text: string) => {
        printed += text;
        if (printed.length > enough * 5) child.kill('SIGKILL');
      });
      const [code, signal] = await exited;
      assert.deepEqual([code, signal], [null, 'SIGKILL']);
      const acknowledged = printed.slice(0, printed.lastIndexOf('\n')).split('\n').map(Number);
      assert.ok(acknowledged.length > enough / 2);
      const { storage, lost, sequenceFound, sequencePromised } = await ClassicLevelStorage.open(
        directory,
        optionsOf(),
      );
      assert.equal(lost, false);
      assert.ok(sequenceFound >= sequencePromised && sequencePromised > 0);
      for (const n of acknowledged) {
        const value = storage.get(key(n));
        assert.equal(value?.length, 200 + (n % 1000), `row ${n}`);
        assert.ok(value.every((byte) => byte === (n & 0xff)));
      }
      await close(storage);
    });
  }
});

/** A directory whose LevelDB log holds `count` synced rows, as a power loss would leave it. */
async function crashed(context: TestContext, count: number): Promise<{ directory: string; log: string }> {
  const live = await directoryOf(context);
  const directory = await directoryOf(context);
  const { storage } = await ClassicLevelStorage.open(live, optionsOf());
  for (let i = 0; i < count; i++) await write(storage, [row(i)], 'always');
  await cp(live, directory, { recursive: true });
  await close(storage);
  const rows = join(directory, 'rows');
  const logs = (await readdir(rows)).filter((name) => name.endsWith('.log'));
  assert.equal(logs.length, 1);
  return { directory, log: join(rows, logs[0]!) };
}

async function overwrite(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'r+');
  await handle.write(bytes, 0, bytes.length, offset);
  await handle.close();
}

async function flip(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  await overwrite(path, offset, Uint8Array.of(bytes[offset]! ^ 0x10));
}

async function openAndClose(directory: string): Promise<ClassicLevelOpened> {
  const opened = await ClassicLevelStorage.open(directory, optionsOf());
  await close(opened.storage);
  return opened;
}

describe('classic-level: a damaged log', () => {
  it('an undamaged one is no loss', async (context) => {
    const { directory } = await crashed(context, 300);
    const { lost, sequenceFound, sequencePromised } = await openAndClose(directory);
    assert.deepEqual([lost, sequenceFound, sequencePromised], [false, 300, 300]);
  });

  const damages: Record<string, (log: string, size: number) => Promise<void>> = {
    'its end cut off': (log, size) => truncate(log, size - 5000),
    'cut to nothing': (log) => truncate(log, 0),
    deleted: (log) => rm(log),
    'a bit flipped in the middle': (log, size) => flip(log, size >>> 1),
    'a bit flipped in its first batch': (log) => flip(log, 500),
    'a bit flipped in its last batch': (log, size) => flip(log, size - 300),
    'a page of zeros in the middle': (log, size) =>
      overwrite(log, (size >>> 1) & ~4095, new Uint8Array(4096)),
    'a block of zeros on a boundary': (log) => overwrite(log, 65_536, new Uint8Array(32_768)),
  };
  for (const [name, damage] of Object.entries(damages)) {
    it(`${name}: the loss is told, at each start until it is repaired`, async (context) => {
      const { directory, log } = await crashed(context, 300);
      await damage(log, (await stat(log)).size);
      const alarms: string[] = [];
      const listening: Log = { write: (level, event) => void (level === 'alarm' && alarms.push(event)) };
      const first = await ClassicLevelStorage.open(directory, optionsOf({ log: listening }));
      assert.equal(first.lost, true);
      assert.ok(first.loss !== undefined);
      assert.deepEqual(alarms, ['storage-loss-found']);
      // Something is gone indeed, and what is left can be read.
      assert.ok((await range(first.storage)).length < 300);
      await write(first.storage, [row(1000)], 'always');
      await close(first.storage);
      const second = await ClassicLevelStorage.open(directory, optionsOf());
      assert.equal(second.lost, true, 'not repaired yet');
      await second.storage.lossRepaired();
      await close(second.storage);
      const third = await openAndClose(directory);
      assert.deepEqual([third.lost, third.sequenceFound], [false, third.sequencePromised]);
    });
  }

  it('any bit flipped anywhere is a loss told, or loses nothing', async (context) => {
    const { directory, log } = await crashed(context, 70);
    const pristine = await readFile(log);
    const random = new Prng(5);
    for (let i = 0; i < 40; i++) {
      const copy = `${directory}-${i}`;
      context.after(() => rm(copy, { recursive: true, force: true }));
      await cp(directory, copy, { recursive: true });
      const damaged = Uint8Array.from(pristine);
      const at = random.below(damaged.length);
      damaged[at]! ^= 1 << random.below(8);
      await writeFile(log.replace(directory, copy), damaged);
      const { storage, lost } = await ClassicLevelStorage.open(copy, optionsOf());
      const entries = await range(storage);
      const whole = entries.length === 70 && entries.every(({ value }, n) => value.every((b) => b === n));
      assert.equal(lost, !whole, `bit flipped in byte ${at}`);
      await close(storage);
    }
  });

  it('a torn tail of what was not promised is no loss', async (context) => {
    const live = await directoryOf(context);
    const directory = await directoryOf(context);
    const { storage } = await ClassicLevelStorage.open(live, optionsOf({ syncIntervalMs: 60_000 }));
    for (let i = 0; i < 100; i++) await write(storage, [row(i)], i < 50 ? 'always' : 'interval');
    await cp(live, directory, { recursive: true });
    await close(storage);
    const log = (await readdir(join(directory, 'rows'))).find((name) => name.endsWith('.log'))!;
    const path = join(directory, 'rows', log);
    await truncate(path, (await stat(path)).size - 1500);
    const opened = await openAndClose(directory);
    assert.deepEqual([opened.lost, opened.sequenceFound, opened.sequencePromised], [false, 98, 50]);
  });

  it('batches of all lengths, cut by blocks anywhere, are no loss', async (context) => {
    const live = await directoryOf(context);
    const directory = await directoryOf(context);
    const { storage } = await ClassicLevelStorage.open(live, optionsOf({ writeBufferBytes: 8 << 20 }));
    for (let i = 0; i < 400; i++) await write(storage, [row(i, (i * 997) % 9973)]);
    for (let i = 0; i < 40; i++) await write(storage, [row(i, 32_650 + i)]);
    await cp(live, directory, { recursive: true });
    await close(storage);
    const { lost, loss } = await openAndClose(directory);
    assert.equal(lost, false, loss);
  });
});

describe('classic-level: the durable sequence', () => {
  it('survives a torn slot, and tells when both are unreadable', async (context) => {
    const path = join(await directoryOf(context), 'durable-sequence');
    const first = await DurableSequence.open(path);
    assert.equal(first.found.state, 'absent');
    for (const sequence of [1, 5, 2 ** 40, 2 ** 40 + 1]) first.write(sequence);
    first.close();
    const second = await DurableSequence.open(path);
    assert.deepEqual(second.found, { state: 'read', sequence: 2 ** 40 + 1 });
    second.close();
    await flip(path, 4096 + 7);
    const one = await DurableSequence.open(path);
    assert.ok(one.found.state === 'read' && one.found.sequence >= 2 ** 40);
    one.close();
    await flip(path, 7);
    const none = await DurableSequence.open(path);
    assert.equal(none.found.state, 'unreadable');
    none.close();
  });

  it('a database without it, or rows gone beside it, is a loss', async (context) => {
    const { directory } = await crashed(context, 10);
    await rm(join(directory, 'durable-sequence'));
    assert.equal((await openAndClose(directory)).lost, true);
    const other = await crashed(context, 10);
    await rm(join(other.directory, 'rows'), { recursive: true });
    const opened = await openAndClose(other.directory);
    assert.deepEqual([opened.lost, opened.sequenceFound, opened.sequencePromised], [true, 0, 10]);
  });
});

describe('classic-level: errors', () => {
  it('a database in use, or one that does not open, says what to do', async (context) => {
    const directory = await directoryOf(context);
    const { storage } = await ClassicLevelStorage.open(directory, optionsOf());
    await write(storage, [row(1)], 'always');
    await assert.rejects(ClassicLevelStorage.open(directory, optionsOf()), (error: unknown) => {
      assert.ok(error instanceof CodedError);
      assert.equal(error.code, 'storage-failed');
      assert.match(error.message, /another process/);
      return true;
    });
    assert.equal(await write(storage, [row(2)]), undefined, 'the one that has it open is not disturbed');
    await close(storage);
    const manifest = (await readdir(join(directory, 'rows'))).find((name) => name.startsWith('MANIFEST'))!;
    await writeFile(join(directory, 'rows', manifest), new Uint8Array(100).fill(7));
    await assert.rejects(ClassicLevelStorage.open(directory, optionsOf()), (error: unknown) => {
      assert.ok(error instanceof CodedError);
      assert.equal(error.code, 'corrupt');
      assert.match(error.message, /other replicas/);
      return true;
    });
  });

  it('a failed fsync stops the engine for good, reads included', async (context) => {
    const directory = await directoryOf(context);
    const alarms: string[] = [];
    const log: Log = { write: (level, event) => void (level === 'alarm' && alarms.push(event)) };
    const { storage } = await ClassicLevelStorage.open(directory, optionsOf({ syncIntervalMs: 20, log }));
    // A log that can be opened by nobody: the sync beside LevelDB fails, as on a broken disk.
    await mkdir(join(directory, 'rows', '999999.log'));
    assert.equal(await write(storage, [row(1)]), undefined);
    for (let i = 0; alarms.length === 0 && i < 1000; i++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(alarms, ['storage-failed']);
    const refused = await write(storage, [row(2)]);
    assert.deepEqual([refused?.code, refused?.outcome], ['storage-failed', 'fail']);
    assert.throws(
      () => storage.get(key(1)),
      (error: CodedError) => error.code === 'storage-failed',
    );
    await assert.rejects(range(storage), (error: CodedError) => error.code === 'storage-failed');
    assert.equal((await close(storage))?.code, 'storage-failed');
  });
});

describe('hot rows', () => {
  it('hold their bound, and keep what is used', () => {
    const hot = new HotRows(200_000);
    for (let i = 0; i < 5000; i++) {
      hot.put(key(i), new Uint8Array(500));
      hot.get(key(0));
      assert.ok(hot.bytes <= 200_000 + 25_000);
    }
    assert.equal(hot.get(key(0))?.length, 500);
    assert.equal(hot.get(key(1)), undefined);
    assert.equal(hot.get(key(4999))?.length, 500);
    hot.put(key(4999), null);
    assert.equal(hot.get(key(4999)), null);
    assert.equal(hot.put(key(4999), new Uint8Array(100_000)), undefined);
    assert.equal(hot.get(key(4999)), undefined, 'a value too large to keep is not left stale');
  });
});
