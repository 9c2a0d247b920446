/** A storage that fails under an embedded node: the application is told, its calls are rejected, the others go on. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createNode, DureError, type EmbeddedNode, type NodeOptions } from '../../../embed/index.ts';
import { createNodeWith } from '../../../embed/node.ts';
import { planOf } from '../../../embed/options.ts';
import { SystemClock } from '../../../src/adapters/clock.ts';
import { SecureRandom } from '../../../src/adapters/random.ts';
import { MemoryStorage } from '../../../src/adapters/storage-memory.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { Storage } from '../../../src/ports/storage.ts';
import { freePortBase } from '../../support/ports.ts';
import { until } from '../../support/wait.ts';

/** An engine whose disk can be broken, as `ClassicLevelStorage` behaves then: it says so once, and answers no more. */
function breakable(onFail: (failure: string) => void): { storage: Storage; break: () => void } {
  const memory = new MemoryStorage({
    clock: new SystemClock(),
    random: new SecureRandom(),
    memoryBytesMax: 0,
    evictionPolicy: 'none',
  });
  let broken = false;
  const failure = (): CodedError => new CodedError('storage-failed', 'unknown', 'an fsync failed (EIO)');
  const write: Storage['write'] = (batch, durability, done) => {
    if (!broken) {
      memory.write(batch, durability, done);
      return;
    }
    onFail('an fsync failed (EIO)');
    setImmediate(() => done(failure()));
  };
  const close: Storage['close'] = (done) => (broken ? done(failure()) : memory.close(done));
  const storage: Storage = {
    engine: 'breakable',
    durable: true,
    get: (key) => memory.get(key),
    range: (query, done) => memory.range(query, done),
    figures: () => memory.figures(),
    write,
    close,
  };
  return {
    storage,
    break: () => {
      broken = true;
    },
  };
}

async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'ok';
  } catch (error) {
    assert.ok(error instanceof DureError, `a DureError, not ${error}`);
    return `${error.code} ${error.outcome}`;
  }
}

test('storage fails: an event, rejected calls, a goodbye to the others; the process lives on', async () => {
  const base = await freePortBase(3);
  const members = [0, 1, 2].map((i) => ({ id: `m${i + 1}`, peerPort: base + 1000 + i }));
  const options = (nodeId: string): NodeOptions<unknown> => ({ nodeId, members, memory: true });
  let breakIt = (): void => {};
  const [one, ...others] = await Promise.all([
    createNodeWith(planOf(options('m1')), {
      openStorage: async (onFail) => {
        const disk = breakable(onFail);
        breakIt = disk.break;
        return disk.storage;
      },
    }),
    createNode(options('m2')),
    createNode(options('m3')),
  ]);
  const told: string[] = [];
  one.on('failed', ({ reason }) => told.push(`failed: ${reason}`));
  one.on('closed', ({ reason }) => told.push(`closed: ${reason}`));
  try {
    for (const node of [one, ...others]) assert.equal(await node.linked(), true);
    for (let i = 0; i < 20; i++) await one.put(`k${i}`, i);
    breakIt();
    const writes = await Promise.all([0, 1, 2, 3].map((i) => outcomeOf(one.put(`k${i}`, 'new'))));
    // The other two are a quorum: a write may have made it there, and none that did not may say so.
    for (const write of writes) assert.match(write, /^(ok|storage-failed unknown)$/);
    await until(() => told.length > 0, 'the failure is told');
    assert.deepEqual(told[0], 'failed: an fsync failed (EIO)');
    assert.equal(await outcomeOf(one.get('k5')), 'storage-failed none');
    assert.equal(await outcomeOf(one.put('k5', 1)), 'storage-failed fail');
    assert.throws(() => one.peek('k5'), { code: 'storage-failed' });
    await until(() => told.length > 1, 'it is closed by itself');
    assert.match(told[1]!, /^closed: its storage failed/);

    for (const node of others) {
      await until(() => node.members().some(({ id, live }) => id === 'm1' && !live), 'its leaving is seen');
      for (let i = 0; i < 20; i++) assert.notEqual(await node.get(`k${i}`), undefined, `k${i}`);
      assert.equal(await outcomeOf(node.put('after', true)), 'ok');
    }
    // Its ports are free: the application may make it anew.
    await one.close();
    const again = await createNode(options('m1'));
    assert.equal(await again.linked(), true);
    assert.equal(await again.get('k7', { consistency: 'PC/EC' }), 7);
    await again.close();
  } finally {
    await Promise.all([one, ...others].map((node) => node.close({ graceMs: 0 })));
  }
});

/** Lets every fsync of a file handle in this process fail, as a dying disk does. @returns what mends it */
async function breakSyncs(): Promise<() => void> {
  const handle = await open(fileURLToPath(import.meta.url));
  const prototype = Object.getPrototypeOf(handle) as { datasync: () => Promise<void> };
  await handle.close();
  const { datasync } = prototype;
  prototype.datasync = async () => {
    throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
  };
  return () => {
    prototype.datasync = datasync;
  };
}

test('a disk whose fsync fails: the node is closed, and made anew on the same directory in the same process', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'dure-embed-'));
  const base = await freePortBase(3);
  const members = [0, 1, 2].map((i) => ({ id: `m${i + 1}`, peerPort: base + 1000 + i }));
  const onDisk: NodeOptions<unknown> = {
    nodeId: 'm1',
    members,
    dataDir,
    storage: { syncIntervalMs: '50ms' },
  };
  const nodes: EmbeddedNode<unknown>[] = await Promise.all([
    createNode(onDisk),
    createNode({ nodeId: 'm2', members, memory: true }),
    createNode({ nodeId: 'm3', members, memory: true }),
  ]);
  let mend = (): void => {};
  try {
    const one = nodes[0]!;
    for (const node of nodes) assert.equal(await node.linked(), true);
    for (let i = 0; i < 20; i++) await one.put(`k${i}`, i);
    const told: string[] = [];
    one.on('failed', ({ reason }) => told.push(reason));
    one.on('alarm', ({ event }) => told.push(event));
    let closed = false;
    one.on('closed', () => {
      closed = true;
    });
    mend = await breakSyncs();
    await outcomeOf(one.put('k0', 'new'));
    await until(
      () => closed,
      () => `it is closed by itself; told: ${told}`,
    );
    assert.ok(told.includes('storage-failed'), 'the alarm');
    assert.ok(
      told.some((reason) => /an fsync failed \(EIO/.test(reason)),
      `${told}`,
    );
    mend();
    const again = await createNode(onDisk);
    nodes.push(again);
    assert.equal(await again.linked(), true);
    for (let i = 1; i < 20; i++) assert.equal(await again.get(`k${i}`, { consistency: 'PC/EC' }), i);
    assert.equal(await outcomeOf(again.put('k0', 'newer')), 'ok');
  } finally {
    mend();
    await Promise.all(nodes.map((node) => node.close({ graceMs: 0 })));
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 });
  }
});

test('close lets calls under way end, and is said once', async () => {
  const node = await createNode({ nodeId: 'solo', memory: true });
  let closed = 0;
  node.on('closed', () => {
    closed += 1;
  });
  const writes = Array.from({ length: 200 }, (_, i) => outcomeOf(node.put(`k${i}`, i)));
  await Promise.all([node.close(), node.close()]);
  assert.ok((await Promise.all(writes)).every((outcome) => outcome === 'ok'));
  assert.equal(closed, 1);
  assert.equal(await outcomeOf(node.get('k1')), 'closed none');
});

test('nothing is left on the process: no listeners, no timers that keep it alive', async () => {
  const events = process.eventNames().filter((name) => process.listenerCount(name) > 0);
  const counts = events.map((name) => process.listenerCount(name));
  const node = await createNode({ nodeId: 'solo', memory: true });
  assert.deepEqual(
    events.map((name) => process.listenerCount(name)),
    counts,
  );
  assert.deepEqual(
    process.eventNames().filter((name) => process.listenerCount(name) > 0),
    events,
  );
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  await node.close();
  assert.ok(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length <= before);
});
