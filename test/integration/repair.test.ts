/**
 * `dure repair` on real processes: rows vanish from one disk behind the node's back, and are there again
 * after it, on the disk itself; and what it says while nothing is to be done, or cannot be.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Redis } from 'ioredis';
import { SystemClock } from '../../src/adapters/clock.ts';
import { ClassicLevelStorage } from '../../src/adapters/storage-classic-level.ts';
import type { RepairSum } from '../../src/main/repair.ts';
import { LOG_SILENT } from '../../src/ports/log.ts';
import type { Storage, StorageEntry } from '../../src/ports/storage.ts';
import { slotStart } from '../../src/rows/key.ts';
import { TestCluster } from '../support/cluster.ts';
import { DURE, type Finished, run } from '../support/process.ts';
import { until } from '../support/wait.ts';

const rowsWritten = 600;

describe('dure repair', { timeout: 120_000 }, () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await TestCluster.start({ nodes: 3 });
  });
  after(() => cluster.close());

  function repair(...words: readonly string[]): Promise<Finished> {
    const argv = [...DURE, 'repair', '--data-dir', cluster.directory, ...words];
    return run(argv, { env: { NO_COLOR: '1' }, timeoutMs: 60_000 });
  }

  /** The disk of a node that is stopped. */
  async function disk<T>(index: number, look: (storage: Storage) => Promise<T>): Promise<T> {
    const directory = join(cluster.directory, cluster.node(index).id, 'data');
    const { storage } = await ClassicLevelStorage.open(directory, {
      clock: new SystemClock(),
      log: LOG_SILENT,
    });
    try {
      return await look(storage);
    } finally {
      await new Promise<void>((resolve) => storage.close(() => resolve()));
    }
  }

  const rowsOf = (storage: Storage): Promise<readonly StorageEntry[]> =>
    new Promise((resolve, reject) => {
      storage.range({ from: slotStart(0), to: slotStart(16_384), limit: 10_000 }, (error, entries) =>
        error === undefined ? resolve(entries) : reject(error),
      );
    });

  it('brings back what a disk lost', async () => {
    const client = new Redis(cluster.respPort(0), '127.0.0.1');
    await Promise.all(Array.from({ length: rowsWritten }, (_, i) => client.set(`key-${i}`, `value ${i}`)));
    await client.quit();
    await cluster.kill(2, 'SIGTERM');
    const lost = await disk(2, async (storage) => {
      const rows = await rowsOf(storage);
      const batch = rows.filter((_, i) => i % 2 === 0).map(({ key }) => ({ key, value: undefined }));
      await new Promise<void>((resolve) => storage.write(batch, 'always', () => resolve()));
      assert.equal((await rowsOf(storage)).length, rows.length - batch.length);
      return batch.length;
    });
    assert.ok(lost >= rowsWritten / 2 - 1, `${lost} rows taken away`);
    await cluster.restart(2);
    await until(
      async () => {
        const { code } = await repair('--partition', '0');
        return code === 0;
      },
      'all nodes are there',
      30_000,
    );
    const { code, stdout, stderr } = await repair('--json');
    assert.equal(code, 0, stderr);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RepairSum & { done: boolean });
    const last = lines.at(-1)!;
    assert.equal(last.done, true);
    assert.equal(last.pairs, 3072);
    assert.equal(last.equal, 3072);
    assert.ok(lines.length > 2);
    await cluster.kill(2, 'SIGTERM');
    const held = await disk(2, rowsOf);
    assert.equal(held.length, rowsWritten);
    await cluster.restart(2);
  });

  it('says what it did in one line, and what is wrong with the words it is given', async () => {
    await until(async () => (await repair('--partition', '1')).code === 0, 'all nodes are there', 30_000);
    const all = await repair();
    assert.equal(all.code, 0, all.stderr);
    assert.match(
      all.stdout,
      /^all 3,072 pairs of replicas equal after .*: .* differed, .* exchanged, .* between the nodes$/m,
    );
    assert.equal((await repair('--partition', '1024')).code, 2);
    assert.equal((await repair('--partition', 'x')).code, 2);
    assert.equal((await repair('--node', '127.0.0.1:1')).code, 1);
  });

  it('tells which pairs it could not repair while a member is away', async () => {
    await cluster.kill(1);
    const { code, stderr } = await repair();
    assert.equal(code, 1);
    assert.match(stderr, /n2/);
    await cluster.restart(1);
  });
});
