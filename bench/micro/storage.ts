/**
 * Storage engines: what a read and a written row cost, the CPU of native threads included.
 *
 * Several node processes share the cores of one machine in the cluster benchmark, so the figure to
 * lower is CPU a row (`process.cpuUsage` counts LevelDB's threads), not only rows a second.
 *
 * `node bench/micro/storage.ts [--rows 1000000] [--only memory|disk|read] [--setting name=value ...]`
 * prints a table. `--setting` reopens the disk rows with an option of `ClassicLevelStorage` changed.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SystemClock } from '../../src/adapters/clock.ts';
import { SecureRandom } from '../../src/adapters/random.ts';
import { ClassicLevelStorage } from '../../src/adapters/storage-classic-level.ts';
import { MemoryStorage } from '../../src/adapters/storage-memory.ts';
import { Prng } from '../../src/base/prng.ts';
import { LOG_SILENT } from '../../src/ports/log.ts';
import type { Durability, Storage, StorageWrite } from '../../src/ports/storage.ts';

const keyCount = 100_000;
const valueBytes = 1024;

const keys = Array.from({ length: keyCount }, (_, i) => {
  const slot = (Math.imul(i, 0x9e3779b1) >>> 0) & 16_383;
  const key = `${String.fromCharCode(slot >>> 8, slot & 0xff)}key:${String(i).padStart(12, '0')}`;
  // Flat strings, as they come off the network.
  return Buffer.from(key, 'latin1').toString('latin1');
});

/** Values are views over one buffer, as off the network; half of each compresses. */
const source = new Uint8Array(1 << 20);
const random = new Prng(1);
for (let i = 0; i < source.length; i++) source[i] = i % valueBytes < valueBytes / 2 ? 97 : random.u32();

function valueAt(n: number): Uint8Array {
  const at = ((n * valueBytes) & (source.length - 1)) % (source.length - valueBytes);
  return source.subarray(at, at + valueBytes);
}

function batchOf(rows: number, durable: Prng): StorageWrite[] {
  return Array.from({ length: rows }, () => {
    const n = durable.below(keyCount);
    return { key: keys[n]!, value: valueAt(n) };
  });
}

interface Measure {
  readonly name: string;
  readonly rows: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly note?: string;
}

const measures: Measure[] = [];

async function measure(
  name: string,
  rows: number,
  run: () => void | Promise<void>,
  note?: () => string,
): Promise<void> {
  const cpu = process.cpuUsage();
  const began = performance.now();
  await run();
  const wallMs = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  const result: Measure = { name, rows, wallMs, cpuMs: (user + system) / 1000, note: note?.() ?? '' };
  measures.push(result);
  process.stdout.write(`${line(result)}\n`);
}

function line({ name, rows, wallMs, cpuMs, note }: Measure): string {
  const rate = `${(rows / wallMs).toFixed(1)} k/s`.padStart(12);
  const wall = `${((wallMs * 1000) / rows).toFixed(3)} µs`.padStart(12);
  const cpu = `${((cpuMs * 1000) / rows).toFixed(3)} µs CPU`.padStart(15);
  return `${name.padEnd(44)}${rate}${wall}${cpu}  ${note ?? ''}`;
}

/** Writes `rows` rows in batches, `lanes` of them under way, and keeps the latency of each batch. */
function writeRows(
  storage: Storage,
  rows: number,
  batchRows: number,
  durability: Durability,
  latencies: number[],
): Promise<void> {
  const lanes = 2;
  let left = Math.ceil(rows / batchRows);
  let active = lanes;
  const prng = new Prng(rows);
  return new Promise((resolve, reject) => {
    const next = (): void => {
      if (left-- <= 0) {
        if (--active === 0) resolve();
        return;
      }
      const began = performance.now();
      storage.write(batchOf(batchRows, prng), durability, (error) => {
        latencies.push(performance.now() - began);
        if (error !== undefined) reject(error);
        else next();
      });
    };
    for (let i = 0; i < lanes; i++) next();
  });
}

function percentiles(latencies: number[]): string {
  latencies.sort((a, b) => a - b);
  const at = (p: number): string => (latencies[Math.floor((latencies.length - 1) * p)] ?? 0).toFixed(2);
  return `p50 ${at(0.5)}  p99 ${at(0.99)}  p99.9 ${at(0.999)}  max ${at(1)} ms`;
}

function readAll(storage: Storage, order: Uint32Array): void {
  let bytes = 0;
  for (const n of order) bytes += storage.get(keys[n]!)?.length ?? 0;
  if (bytes !== order.length * valueBytes) throw new Error('a row is missing');
}

function orderOf(count: number, below: number): Uint32Array {
  const prng = new Prng(9);
  return Uint32Array.from({ length: count }, () => prng.below(below));
}

async function memoryRows(): Promise<void> {
  for (const evictionPolicy of ['none', 'lru', 'lfu'] as const) {
    const bounded = evictionPolicy === 'none' ? 0 : 100 * 1024 * 1024;
    const storage = new MemoryStorage({
      clock: new SystemClock(),
      random: new SecureRandom(),
      evictionPolicy,
      memoryBytesMax: bounded,
    });
    const write = (row: StorageWrite): void => storage.write([row], 'interval', () => {});
    for (let i = 0; i < keyCount; i++) write({ key: keys[i]!, value: valueAt(i) });
    const order = orderOf(1_000_000, keyCount);
    const warm = orderOf(100_000, keyCount);
    for (const n of warm) storage.get(keys[n]!);
    await measure(`memory ${evictionPolicy}: get, 100k keys`, order.length, () => {
      for (const n of order) storage.get(keys[n]!);
    });
    const few = orderOf(1_000_000, 1000);
    await measure(`memory ${evictionPolicy}: get, 1000 keys`, few.length, () => {
      for (const n of few) storage.get(keys[n]!);
    });
    await measure(
      `memory ${evictionPolicy}: write 1 row of 1 KiB`,
      order.length,
      () => {
        for (const n of order) write({ key: keys[n]!, value: valueAt(n) });
      },
      () => `${storage.figures().evictions} evicted, arena ${Math.round(storage.arenaBytes / 1e6)} MB`,
    );
    storage.close(() => {});
  }
}

async function withDisk(
  options: Record<string, number>,
  body: (storage: ClassicLevelStorage) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'dure-bench-'));
  try {
    const { storage } = await ClassicLevelStorage.open(directory, {
      clock: new SystemClock(),
      log: LOG_SILENT,
      ...options,
    });
    await body(storage);
    await new Promise<void>((resolve) => storage.close(() => resolve()));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function diskRows(rows: number, settings: Record<string, number>): Promise<void> {
  for (const durability of ['interval', 'always'] as const) {
    for (const batchRows of [16, 32, 64]) {
      await withDisk(settings, async (storage) => {
        await writeRows(storage, keyCount, 64, 'interval', []);
        const count = durability === 'always' ? rows / 5 : rows;
        const latencies: number[] = [];
        await measure(
          `disk: write ${durability}, batches of ${batchRows}`,
          count,
          () => writeRows(storage, count, batchRows, durability, latencies),
          () => `${percentiles(latencies)}  ${storage.figures().syncs} syncs`,
        );
      });
    }
  }
}

async function diskReads(settings: Record<string, number>): Promise<void> {
  const fill = async (storage: Storage): Promise<void> => {
    for (let i = 0; i < keyCount; i += 100) {
      const batch = Array.from({ length: 100 }, (_, j) => ({ key: keys[i + j]!, value: valueAt(i + j) }));
      await new Promise((resolve) => storage.write(batch, 'interval', resolve));
    }
  };
  await withDisk(settings, async (storage) => {
    await fill(storage);
    const few = orderOf(500_000, 1000);
    readAll(storage, few.subarray(0, 20_000));
    await measure('disk: get, hot (1000 keys)', few.length, () => readAll(storage, few));
    const order = orderOf(300_000, keyCount);
    await measure('disk: get, 100k keys, default hot rows', order.length, () => readAll(storage, order));
    const { length } = order;
    await measure(
      'disk: range, pages of 1000',
      keyCount,
      async () => {
        let from = '';
        for (;;) {
          const entries = await new Promise<readonly { key: string }[]>((resolve) =>
            storage.range({ from, to: '\xff', limit: 1000 }, (_error, page) => resolve(page)),
          );
          if (entries.length < 1000) break;
          from = `${entries.at(-1)!.key}\x00`;
        }
      },
      () => `after ${length} gets`,
    );
  });
  await withDisk({ ...settings, hotBytesMax: 0 }, async (storage) => {
    await fill(storage);
    const order = orderOf(300_000, keyCount);
    readAll(storage, order.subarray(0, 50_000));
    await measure('disk: get, no hot rows, block cache 64 MiB', order.length, () => readAll(storage, order));
  });
  await withDisk({ ...settings, hotBytesMax: 0, cacheBytes: 1024 * 1024 }, async (storage) => {
    await fill(storage);
    const order = orderOf(200_000, keyCount);
    await measure('disk: get, cold (block cache 1 MiB)', order.length, () => readAll(storage, order));
  });
}

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '300000' },
    only: { type: 'string' },
    setting: { type: 'string', multiple: true, default: [] },
  },
});
const settings = Object.fromEntries(
  values.setting.map((text) => [text.split('=')[0]!, Number(text.split('=')[1])]),
);
if (values.only === undefined || values.only === 'memory') await memoryRows();
if (values.only === undefined || values.only === 'disk') await diskRows(Number(values.rows), settings);
if (values.only === undefined || values.only === 'read') await diskReads(settings);
