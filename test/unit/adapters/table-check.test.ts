/** The check of LevelDB's tables, and what else an engine finds out when it is opened. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { noteLoss, setAside } from '../../../src/adapters/classic-level-open.ts';
import { SystemClock } from '../../../src/adapters/clock.ts';
import { MachineMark } from '../../../src/adapters/machine-mark.ts';
import { ClassicLevelStorage } from '../../../src/adapters/storage-classic-level.ts';
import { findDamage } from '../../../src/adapters/table-check.ts';
import { bytesOf } from '../../../src/base/bytes.ts';
import { Prng } from '../../../src/base/prng.ts';

const root = mkdtempSync(join(tmpdir(), 'dure-table-'));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;

const log = { write: () => {} };

async function opened(directory: string): ReturnType<typeof ClassicLevelStorage.open> {
  return await ClassicLevelStorage.open(directory, { clock: new SystemClock(), log });
}

function closed(storage: ClassicLevelStorage): Promise<void> {
  return new Promise((resolve, reject) => storage.close((error) => (error ? reject(error) : resolve())));
}

function written(storage: ClassicLevelStorage, count: number): Promise<void> {
  const prng = new Prng(1);
  const batch = Array.from({ length: count }, (_, i) => ({
    key: `key ${i}`,
    value: bytesOf('ab'.repeat(50) + String(prng.u32()).repeat(20)),
  }));
  return new Promise((resolve, reject) =>
    storage.write(batch, 'interval', (error) => (error ? reject(error) : resolve())),
  );
}

/** A closed database whose rows lie in tables. */
async function database(): Promise<string> {
  const directory = join(root, String(folders++));
  const { storage } = await opened(directory);
  await written(storage, 500);
  await closed(storage);
  // Opening writes the log as a table.
  await closed((await opened(directory)).storage);
  return directory;
}

function tables(directory: string): string[] {
  const rows = join(directory, 'rows');
  return readdirSync(rows).flatMap((name) => (name.endsWith('.ldb') ? [join(rows, name)] : []));
}

describe('the check of tables', () => {
  test('finds nothing in a sound database, and every flipped bit that matters', async () => {
    const directory = await database();
    assert.equal(await findDamage(join(directory, 'rows')), undefined);
    const [table] = tables(directory);
    assert.ok(table !== undefined);
    const sound = readFileSync(table);
    const prng = new Prng(7);
    let found = 0;
    for (let round = 0; round < 60; round++) {
      const bytes = new Uint8Array(sound);
      // The footer is padded with bytes that mean nothing.
      bytes[prng.below(bytes.length - 48)]! ^= 1 << prng.below(8);
      writeFileSync(table, bytes);
      if ((await findDamage(join(directory, 'rows'))) !== undefined) found++;
    }
    assert.equal(found, 60);
    writeFileSync(table, sound.subarray(0, sound.length - 10));
    assert.match((await findDamage(join(directory, 'rows'))) ?? '', /does not end as a table/);
  });

  test('is done when the process before ended without a word in its first minute, and only then', async () => {
    const directory = await database();
    const [table] = tables(directory);
    const bytes = readFileSync(table!);
    bytes[100]! ^= 1;
    writeFileSync(table!, bytes);
    assert.equal(existsSync(join(directory, 'trial')), false);
    writeFileSync(join(directory, 'trial'), '');
    await assert.rejects(opened(directory), { code: 'corrupt', message: /fails its checksum/ });
  });
});

describe('a database that is given up', () => {
  test('is kept aside, whole, and the empty one knows of the loss until that is noted', async () => {
    const directory = await database();
    noteLoss(directory, 'tables are damaged', true);
    await assert.rejects(opened(directory), { code: 'corrupt', message: /tables are damaged/ });
    const files = tables(directory).length;
    const kept = await setAside(directory, 'now', 'tables are damaged');
    assert.equal(readdirSync(join(kept, 'rows')).filter((name) => name.endsWith('.ldb')).length, files);
    const first = await opened(directory);
    assert.deepEqual([first.lost, first.storage.loss], [true, 'tables are damaged']);
    assert.equal(first.storage.get('key 1'), undefined);
    await closed(first.storage);
    const second = await opened(directory);
    assert.equal(second.storage.loss, 'tables are damaged');
    await second.storage.lossRepaired();
    await closed(second.storage);
    assert.equal(
      (await opened(directory).then(({ storage }) => closed(storage).then(() => storage))).loss,
      undefined,
    );
  });
});

describe('a machine that went down', () => {
  test('may have taken the last commits along, unless all was synced before', async () => {
    const directory = await database();
    const mark = join(directory, 'machine');
    // Closed in order: nothing was left to lose.
    writeFileSync(mark, readFileSync(mark, 'utf8').replace(/ \S+/, ' another-boot'));
    const sound = await opened(directory);
    assert.equal(sound.loss, undefined);
    await written(sound.storage, 1);
    const atWork = readFileSync(mark, 'utf8');
    await closed(sound.storage);
    // As the power loss leaves it.
    writeFileSync(mark, atWork);
    assert.equal(new MachineMark(directory).loss, undefined, 'the process died, the machine did not');
    writeFileSync(mark, atWork.replace(/ \S+/, ' another-boot'));
    const unsure = await opened(directory);
    assert.equal(unsure.lost, false);
    assert.match(unsure.loss ?? '', /machine went down/);
    await closed(unsure.storage);
    // It stays so until somebody took note of it.
    const again = await opened(directory);
    assert.match(again.loss ?? '', /machine went down/);
    await again.storage.lossRepaired();
    await closed(again.storage);
    const clear = await opened(directory);
    assert.equal(clear.loss, undefined);
    await closed(clear.storage);
  });
});
