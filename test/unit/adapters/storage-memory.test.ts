/** The memory engine: the conformance suite, its bound, and what eviction keeps. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  MemoryStorage,
  type MemoryStorageOptions,
  rowOverheadBytes,
} from '../../../src/adapters/storage-memory.ts';
import type { CodedError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import type { Clock } from '../../../src/ports/clock.ts';
import type { StorageWrite } from '../../../src/ports/storage.ts';
import { storageConformance } from '../../conformance/storage.ts';

class HandClock implements Clock {
  now = 0;
  wall(): number {
    return this.now;
  }
  monotonic(): number {
    return this.now;
  }
}

interface Rig {
  readonly storage: MemoryStorage;
  readonly clock: HandClock;
  put(key: string, bytes: number): CodedError | undefined;
  write(batch: readonly StorageWrite[]): CodedError | undefined;
}

function rigOf(options: Partial<MemoryStorageOptions> = {}): Rig {
  const clock = new HandClock();
  const storage = new MemoryStorage({ clock, random: new Prng(7), ...options });
  const write = (batch: readonly StorageWrite[]): CodedError | undefined => {
    let outcome: CodedError | undefined | null = null;
    storage.write(batch, 'interval', (error) => {
      outcome = error;
    });
    assert.notEqual(outcome, null, 'the memory engine completes before write returns');
    return outcome ?? undefined;
  };
  return {
    storage,
    clock,
    write,
    put: (key, bytes) => write([{ key, value: new Uint8Array(bytes) }]),
  };
}

function key(n: number): string {
  const slot = (n * 7919) % 16_384;
  return `${String.fromCharCode(slot >>> 8, slot & 0xff)}key:${n}`;
}

storageConformance('memory', async () => ({ storage: rigOf().storage, close: async () => {} }), {
  runs: 200,
});
storageConformance('memory with a bound that is not reached', async () => ({
  storage: rigOf({ memoryBytesMax: 64 * 1024 * 1024, evictionPolicy: 'lfu' }).storage,
  close: async () => {},
}));

describe('memory engine: accounting', () => {
  it('counts what it holds and comes back to zero', () => {
    const rig = rigOf();
    for (let i = 0; i < 1000; i++) rig.put(key(i), 100 + (i % 50));
    for (let i = 0; i < 1000; i++) rig.put(key(i), 200);
    let expected = 0;
    for (let i = 0; i < 1000; i++) expected += key(i).length + 200 + rowOverheadBytes;
    assert.equal(rig.storage.figures().bytesMemory, expected);
    for (let i = 0; i < 1000; i++) rig.write([{ key: key(i), value: undefined }]);
    assert.equal(rig.storage.figures().bytesMemory, 0);
  });

  it('keeps the garbage of overwritten values below the live bytes', () => {
    const rig = rigOf();
    const random = new Prng(3);
    const live = new Map<string, number>();
    for (let i = 0; i < 60_000; i++) {
      const k = key(random.below(4000));
      const bytes = random.chance(0.01) ? 50_000 : random.between(1, 2000);
      live.set(k, bytes);
      rig.put(k, bytes);
    }
    let bytes = 0;
    for (const [k, length] of live) {
      bytes += length;
      assert.equal(rig.storage.get(k)?.length, length);
    }
    assert.ok(rig.storage.arenaBytes < 2 * bytes + 600_000, `${rig.storage.arenaBytes} for ${bytes} live`);
    assert.ok(rig.storage.arenaBytes >= bytes);
  });
});

describe('memory engine: the bound', () => {
  const memoryBytesMax = 1_000_000;

  it('policy none refuses what would pass it, keeps what is there, and takes deletes', () => {
    const rig = rigOf({ memoryBytesMax });
    let n = 0;
    while (rig.put(key(n), 1000) === undefined) n++;
    assert.ok(n > 600 && n < 1000);
    const error = rig.put(key(n), 1000);
    assert.equal(error?.code, 'storage-full');
    assert.equal(error?.outcome, 'fail');
    assert.equal(rig.storage.get(key(n)), undefined);
    const atomic = rig.write([
      { key: key(0), value: new Uint8Array(5) },
      { key: key(n), value: new Uint8Array(5000) },
    ]);
    assert.equal(atomic?.code, 'storage-full');
    assert.equal(rig.storage.get(key(0))?.length, 1000, 'nothing of a refused batch is applied');
    assert.equal(rig.put(key(1), 900), undefined, 'a write that makes a row smaller is taken');
    assert.equal(rig.write([{ key: key(0), value: undefined }]), undefined);
    assert.equal(rig.put(key(n), 900), undefined);
    assert.ok(rig.storage.figures().bytesMemory <= memoryBytesMax);
    assert.equal(rig.storage.figures().evictions, 0);
  });

  it('policy none counts a key that is twice in a batch once', () => {
    const rig = rigOf({ memoryBytesMax: 10_000 });
    assert.equal(rig.put(key(1), 5000), undefined);
    const twice = { key: key(1), value: new Uint8Array(6000) };
    assert.equal(rig.write([twice, twice]), undefined);
    assert.equal(
      rig.write([
        { key: key(1), value: new Uint8Array(10) },
        { key: key(1), value: new Uint8Array(9950) },
      ])?.code,
      'storage-full',
    );
  });

  for (const evictionPolicy of ['lru', 'lfu'] as const) {
    it(`policy ${evictionPolicy} holds it and never evicts meta keys`, () => {
      const evicted: string[] = [];
      const rig = rigOf({ memoryBytesMax, evictionPolicy, onEvict: (k) => evicted.push(k) });
      for (let i = 0; i < 50; i++) assert.equal(rig.put(`\xff\x01meta${i}`, 1000), undefined);
      for (let i = 0; i < 5000; i++) {
        assert.equal(rig.put(key(i), i % 2000), undefined);
        assert.ok(rig.storage.figures().bytesMemory <= memoryBytesMax);
      }
      for (let i = 0; i < 50; i++) assert.equal(rig.storage.get(`\xff\x01meta${i}`)?.length, 1000);
      assert.equal(rig.storage.figures().evictions, evicted.length);
      assert.ok(evicted.length > 3000);
      assert.ok(!evicted.some((k) => k.startsWith('\xff')));
      for (const k of new Set(evicted)) assert.equal(rig.storage.get(k), undefined);
      assert.equal(rig.put(key(1), 2_000_000)?.code, 'storage-full');
      assert.equal(
        rig.put('\xff\x01large', 990_000)?.code,
        'storage-full',
        'meta rows may not crowd out the bound',
      );
    });
  }

  it('lru drops what was not used lately', () => {
    const rig = rigOf({ memoryBytesMax, evictionPolicy: 'lru' });
    for (let i = 0; i < 600; i++) rig.put(key(i), 1000);
    for (let i = 600; i < 6600; i++) {
      rig.clock.now += 10;
      // The first 100 stay in use, now and then.
      rig.storage.get(key(i % 100));
      rig.put(key(i), 1000);
    }
    let hot = 0;
    let cold = 0;
    for (let i = 0; i < 100; i++) if (rig.storage.get(key(i)) !== undefined) hot++;
    for (let i = 100; i < 5600; i++) if (rig.storage.get(key(i)) !== undefined) cold++;
    assert.ok(hot >= 97, `${hot} of 100 rows in use are left`);
    assert.ok(cold <= 60, `${cold} rows not used are left`);
  });

  it('lfu keeps what is used often through a scan that lru would fall for', () => {
    const survivors = (evictionPolicy: 'lru' | 'lfu'): number => {
      const rig = rigOf({ memoryBytesMax, evictionPolicy });
      for (let i = 0; i < 500; i++) rig.put(key(i), 1000);
      for (let round = 0; round < 60; round++) {
        for (let i = 0; i < 100; i++) rig.storage.get(key(i));
        rig.clock.now += 100;
      }
      for (let i = 1000; i < 4000; i++) {
        rig.clock.now += 1;
        rig.put(key(i), 1000);
      }
      let left = 0;
      for (let i = 0; i < 100; i++) if (rig.storage.get(key(i)) !== undefined) left++;
      return left;
    };
    assert.ok(survivors('lfu') >= 97);
    assert.ok(survivors('lru') <= 10);
  });
});

describe('memory engine: usage', () => {
  it('tells idle seconds, and looking does not count as use', () => {
    const rig = rigOf();
    rig.put(key(1), 10);
    rig.clock.now += 12_500;
    assert.equal(rig.storage.idleSeconds(key(1)), 12);
    assert.equal(rig.storage.idleSeconds(key(1)), 12);
    rig.storage.get(key(1));
    assert.equal(rig.storage.idleSeconds(key(1)), 0);
    assert.equal(rig.storage.idleSeconds(key(2)), undefined);
    assert.equal(rig.storage.frequency(key(1)), undefined);
  });

  it('counts uses logarithmically, and forgets them by the minute', () => {
    const rig = rigOf({ evictionPolicy: 'lfu' });
    rig.put(key(1), 10);
    assert.equal(rig.storage.frequency(key(1)), 5);
    for (let i = 0; i < 1000; i++) rig.storage.get(key(1));
    const thousand = rig.storage.frequency(key(1))!;
    for (let i = 0; i < 100_000; i++) rig.storage.get(key(1));
    const more = rig.storage.frequency(key(1))!;
    // Redis's table for a log factor of 10: 18 after 1000 hits, 142 after 100,000.
    assert.ok(thousand >= 12 && thousand <= 28, `${thousand}`);
    assert.ok(more >= 110 && more <= 180, `${more}`);
    rig.clock.now += 10 * 60_000;
    assert.equal(rig.storage.frequency(key(1)), more - 10);
    rig.clock.now += 1000 * 60_000;
    assert.equal(rig.storage.frequency(key(1)), 0);
  });
});
