/**
 * What every engine behind the storage port must do, real or simulated.
 *
 * An engine's test calls `storageConformance` with a way to open it. Completions may come before the
 * call returns, on a later turn, or only when virtual time moves: the suite waits through `settle`.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type ByteString, byteString, bytesOf } from '../../src/base/bytes.ts';
import type { CodedError } from '../../src/base/errors.ts';
import type { Durability, Storage, StorageEntry, StorageWrite } from '../../src/ports/storage.ts';

export interface StorageOpened {
  readonly storage: Storage;
  /** For a durable engine: closes nothing, opens the same data again (after the suite closed it). */
  reopen?(): Promise<Storage>;
  /** Ends what `open` began: directories, virtual disks. The suite has closed the storage itself. */
  close(): Promise<void>;
}

export interface ConformanceOptions {
  /** Lets time go on until a completion may come. The default waits one turn of the event loop. */
  readonly settle?: () => void | Promise<void>;
  /** Runs of the property test (default 60). */
  readonly runs?: number;
}

interface Engine {
  readonly opened: StorageOpened;
  storage: Storage;
  write(batch: readonly StorageWrite[], durability?: Durability): Promise<void>;
  range(from: ByteString, to: ByteString, limit?: number): Promise<readonly StorageEntry[]>;
  close(): Promise<void>;
}

type Settle = () => void | Promise<void>;

const turn: Settle = () => new Promise((resolve) => setImmediate(resolve));

/** Calls `start` and settles until its completion came. */
async function completion<T>(settle: Settle, start: (done: (value: T) => void) => void): Promise<T> {
  let result: { value: T } | undefined;
  let calls = 0;
  start((value) => {
    calls++;
    result = { value };
  });
  for (let i = 0; result === undefined; i++) {
    if (i > 100_000) throw new Error('the engine never completed');
    await settle();
  }
  assert.equal(calls, 1, 'a completion comes once');
  return result.value;
}

function engineOf(opened: StorageOpened, settle: Settle): Engine {
  const engine: Engine = {
    opened,
    storage: opened.storage,
    async write(batch, durability = 'interval') {
      const error = await completion<CodedError | undefined>(settle, (done) =>
        engine.storage.write(batch, durability, done),
      );
      if (error !== undefined) throw error;
    },
    async range(from, to, limit = 10_000) {
      const { error, entries } = await completion<{
        error: CodedError | undefined;
        entries: readonly StorageEntry[];
      }>(settle, (done) =>
        engine.storage.range({ from, to, limit }, (error, entries) => done({ error, entries })),
      );
      if (error !== undefined) throw error;
      return entries;
    },
    async close() {
      const error = await completion<CodedError | undefined>(settle, (done) => engine.storage.close(done));
      assert.equal(error, undefined);
    },
  };
  return engine;
}

/** A storage key as the node makes them: two chars of slot, then the row's own. */
function keyOf(slot: number, rest: string): ByteString {
  return String.fromCharCode(slot >>> 8, slot & 0xff) + rest;
}

function put(key: ByteString, text: string): StorageWrite {
  return { key, value: bytesOf(text) };
}

function remove(key: ByteString): StorageWrite {
  return { key, value: undefined };
}

function textOf(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : byteString(value);
}

function pairs(entries: readonly StorageEntry[]): [string, string][] {
  return entries.map(({ key, value }) => [key, byteString(value)]);
}

const everything: [ByteString, ByteString] = ['', '\xff\xff\xff\xff'];

/** Declares the suite. `open` gives an empty engine each time. */
export function storageConformance(
  name: string,
  open: () => Promise<StorageOpened>,
  options: ConformanceOptions = {},
): void {
  const settle = options.settle ?? turn;

  /** Runs `body` with a new engine and ends it whatever happens. */
  async function withEngine(body: (engine: Engine) => Promise<void>): Promise<void> {
    const opened = await open();
    const engine = engineOf(opened, settle);
    try {
      await body(engine);
    } finally {
      await engine.close().finally(() => opened.close());
    }
  }

  const context = { settle, withEngine, runs: options.runs ?? 60 };
  describe(`storage conformance: ${name}`, () => {
    rowTests(context);
    batchTests(context);
    rangeTests(context);
    modelTests(context);
    durabilityTests(context);
  });
}

interface SuiteContext {
  readonly settle: Settle;
  readonly withEngine: (body: (engine: Engine) => Promise<void>) => Promise<void>;
  readonly runs: number;
}

function rowTests({ withEngine }: SuiteContext): void {
  it('gives back what was written, and nothing for what was not', () =>
    withEngine(async (engine) => {
      assert.equal(engine.storage.get(keyOf(1, 'a')), undefined);
      await engine.write([put(keyOf(1, 'a'), 'one')]);
      assert.equal(textOf(engine.storage.get(keyOf(1, 'a'))), 'one');
      assert.equal(engine.storage.get(keyOf(1, 'b')), undefined);
      await engine.write([put(keyOf(1, 'a'), 'another one')], 'always');
      assert.equal(textOf(engine.storage.get(keyOf(1, 'a'))), 'another one');
      await engine.write([remove(keyOf(1, 'a')), remove(keyOf(2, 'never there'))]);
      assert.equal(engine.storage.get(keyOf(1, 'a')), undefined);
    }));

  it('takes keys and values of any bytes and lengths', () =>
    withEngine(async (engine) => {
      const all = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join('');
      const large = 'v'.repeat(300_000);
      await engine.write([
        put(keyOf(0, all), all),
        put(keyOf(16_383, ''), ''),
        put('\xff\x00meta', 'm'),
        put(keyOf(7, 'large'), large),
        put(keyOf(8, 'k'.repeat(10_000)), 'long key'),
      ]);
      assert.equal(textOf(engine.storage.get(keyOf(0, all))), all);
      assert.equal(textOf(engine.storage.get(keyOf(16_383, ''))), '');
      assert.equal(textOf(engine.storage.get('\xff\x00meta')), 'm');
      assert.equal(textOf(engine.storage.get(keyOf(7, 'large'))), large);
      assert.equal(textOf(engine.storage.get(keyOf(8, 'k'.repeat(10_000)))), 'long key');
    }));

  it('keeps a copy: the caller may use its bytes again, and views given out never change', () =>
    withEngine(async (engine) => {
      const network = bytesOf('....first....');
      const key = keyOf(3, 'k');
      const written = engine.write([{ key, value: network.subarray(4, 9) }]);
      network.fill(0x21);
      await written;
      const view = engine.storage.get(key);
      assert.equal(textOf(view), 'first');
      await engine.write([put(key, 'other')]);
      for (let i = 0; i < 50; i++) await engine.write([put(keyOf(4, `${i}`), 'x'.repeat(5000))]);
      assert.equal(textOf(view), 'first');
      assert.equal(textOf(engine.storage.get(key)), 'other');
    }));
}

function batchTests({ settle, withEngine }: SuiteContext): void {
  it('applies batches in order, and the rows of a batch in order', () =>
    withEngine(async (engine) => {
      const key = keyOf(5, 'k');
      const order: number[] = [];
      for (let i = 0; i < 100; i++) {
        const batch = [put(key, 'overwritten'), remove(key), put(key, `${i}`)];
        engine.storage.write(batch, i % 3 === 0 ? 'always' : 'interval', (error) => {
          assert.equal(error, undefined);
          order.push(i);
        });
      }
      await engine.write([]);
      assert.deepEqual(
        order,
        Array.from({ length: 100 }, (_, i) => i),
      );
      assert.equal(textOf(engine.storage.get(key)), '99');
    }));

  it('shows a batch once its completion was called', () =>
    withEngine(async (engine) => {
      let left = 200;
      for (let i = 0; i < 200; i++) {
        const key = keyOf(i % 7, `${i % 20}`);
        engine.storage.write([put(key, `${i}`), put(keyOf(9, `${i}`), 'same batch')], 'interval', (error) => {
          assert.equal(error, undefined);
          assert.ok(Number(textOf(engine.storage.get(key))) >= i);
          assert.equal(textOf(engine.storage.get(keyOf(9, `${i}`))), 'same batch');
          left--;
        });
      }
      while (left > 0) await settle();
    }));

  it('can be written from within a completion', () =>
    withEngine(async (engine) => {
      await completion<void>(settle, (done) => {
        engine.storage.write([put(keyOf(1, 'a'), '1')], 'interval', () => {
          engine.storage.write([put(keyOf(1, 'b'), '2')], 'always', () => done());
        });
      });
      assert.equal(textOf(engine.storage.get(keyOf(1, 'b'))), '2');
    }));
}

function rangeTests({ withEngine }: SuiteContext): void {
  it('lists a stretch in byte order, first key included, end excluded', () =>
    withEngine(async (engine) => {
      const keys = [
        keyOf(0, ''),
        keyOf(0, 'a'),
        keyOf(0, 'a\x00'),
        keyOf(0, 'a\x7f'),
        keyOf(0, 'a\x80'),
        keyOf(0, 'a\xff'),
        keyOf(0, 'b'),
        keyOf(127, 'z'),
        keyOf(128, 'a'),
        keyOf(255, 'x'),
        keyOf(256, 'a'),
        keyOf(16_383, 'y'),
        '\xff\x00meta',
      ];
      await engine.write([...keys].reverse().map((key, i) => put(key, `${i}`)));
      const list = (await engine.range(...everything)).map(({ key }) => key);
      assert.deepEqual(
        list.filter((key) => keys.includes(key)),
        keys,
      );
      const inner = await engine.range(keys[2]!, keys[8]!);
      assert.deepEqual(
        inner.map(({ key }) => key),
        keys.slice(2, 8),
      );
      assert.deepEqual(await engine.range(keys[4]!, keys[4]!), []);
      assert.deepEqual(await engine.range(keys[6]!, keys[2]!), []);
    }));

  it('gives pages that join without a gap, while rows come and go', () =>
    withEngine(async (engine) => {
      const keys = Array.from({ length: 2500 }, (_, i) =>
        keyOf(i % 3, `k${String(i).padStart(5, '0')}`),
      ).sort();
      await engine.write(keys.map((key) => put(key, 'v'.repeat(100))));
      const listed: string[] = [];
      let from = keyOf(0, '');
      for (;;) {
        const page = await engine.range(from, keyOf(3, ''), 333);
        assert.ok(page.length <= 333);
        listed.push(...page.map(({ key }) => key));
        if (page.length < 333) break;
        from = `${page.at(-1)!.key}\x00`;
        // Behind the reader: neither may upset what is ahead.
        await engine.write([remove(keys[listed.length - 5]!), put(`${keys[0]}${listed.length}`, 'new')]);
      }
      assert.deepEqual(listed, keys);
    }));

  it('sees every batch handed in before', () =>
    withEngine(async (engine) => {
      for (let i = 0; i < 50; i++)
        engine.storage.write([put(keyOf(1, `${i + 100}`), 'v')], 'interval', () => {});
      engine.storage.write([remove(keyOf(1, '120'))], 'always', () => {});
      const list = await engine.range(keyOf(1, ''), keyOf(2, ''));
      assert.equal(list.length, 49);
      assert.ok(!list.some(({ key }) => key === keyOf(1, '120')));
    }));
}

type Step =
  | { readonly kind: 'write'; readonly batch: readonly StorageWrite[]; readonly durability: Durability }
  | { readonly kind: 'get'; readonly key: ByteString }
  | { readonly kind: 'range'; readonly from: ByteString; readonly to: ByteString; readonly limit: number };

function stepsArbitrary(): fc.Arbitrary<Step[]> {
  const key = fc
    .tuple(fc.constantFrom(0, 1, 127, 128, 300, 16_383), fc.constantFrom('', 'a', 'b', 'b\x00', 'c\xff', 'd'))
    .map(([slot, rest]) => keyOf(slot, rest));
  const value = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc
      .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 900, max: 40_000 }))
      .map(([byte, length]) => new Uint8Array(length).fill(byte)),
  );
  const row = fc.record({ key, value: fc.option(value, { nil: undefined, freq: 3 }) });
  const write = fc.record({
    kind: fc.constant('write' as const),
    batch: fc.array(row, { maxLength: 12 }),
    durability: fc.constantFrom<Durability>('always', 'interval', 'interval', 'interval'),
  });
  const get = fc.record({ kind: fc.constant('get' as const), key });
  const range = fc.record({
    kind: fc.constant('range' as const),
    from: key,
    to: key,
    limit: fc.integer({ min: 1, max: 20 }),
  });
  return fc.array(fc.oneof({ arbitrary: write, weight: 3 }, { arbitrary: get, weight: 3 }, range), {
    maxLength: 40,
  });
}

/** Entries of a stretch of the model, which is what an engine must agree with. */
function modelRange(model: Map<ByteString, string>, from: ByteString, to: ByteString, limit: number) {
  return [...model]
    .filter(([key]) => key >= from && key < to)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, limit);
}

function modelTests({ withEngine, runs }: SuiteContext): void {
  it('agrees with a Map on any sequence of operations', async () => {
    await fc.assert(
      fc.asyncProperty(stepsArbitrary(), (steps) =>
        withEngine(async (engine) => {
          const model = new Map<ByteString, string>();
          for (const step of steps) {
            if (step.kind === 'get') {
              assert.equal(textOf(engine.storage.get(step.key)), model.get(step.key));
            } else if (step.kind === 'range') {
              const entries = await engine.range(step.from, step.to, step.limit);
              assert.deepEqual(pairs(entries), modelRange(model, step.from, step.to, step.limit));
            } else {
              await engine.write(step.batch, step.durability);
              for (const { key, value } of step.batch) {
                if (value === undefined) model.delete(key);
                else model.set(key, byteString(value));
              }
            }
          }
          assert.deepEqual(pairs(await engine.range('', '\xff')), modelRange(model, '', '\xff', 10_000));
        }),
      ),
      { numRuns: runs },
    );
  });
}

function durabilityTests({ withEngine }: SuiteContext): void {
  it('tells figures', () =>
    withEngine(async (engine) => {
      const before = engine.storage.figures();
      await engine.write([put(keyOf(1, 'a'), 'x'.repeat(1000))], 'always');
      await engine.write([put(keyOf(1, 'b'), 'x')]);
      const after = engine.storage.figures();
      assert.ok(engine.storage.engine.length > 0);
      assert.ok(after.commits >= before.commits + 2);
      if (engine.storage.durable) assert.ok(after.syncs > before.syncs);
      assert.ok(after.bytesMemory >= 0 && after.bytesDisk >= 0 && after.evictions >= 0);
    }));

  it('holds everything after it was closed and opened, when it is durable', () =>
    withEngine(async (engine) => {
      if (!engine.storage.durable) return;
      assert.ok(engine.opened.reopen !== undefined, 'a durable engine can be opened again');
      await engine.write([put(keyOf(1, 'synced'), '1')], 'always');
      await engine.write([put(keyOf(1, 'unsynced'), '2'), put(keyOf(1, 'gone'), '3')]);
      await engine.write([remove(keyOf(1, 'gone'))]);
      engine.storage.write([put(keyOf(1, 'under way'), '4')], 'interval', () => {});
      await engine.close();
      engine.storage = await engine.opened.reopen();
      assert.deepEqual(pairs(await engine.range(keyOf(1, ''), keyOf(2, ''))), [
        [keyOf(1, 'synced'), '1'],
        [keyOf(1, 'under way'), '4'],
        [keyOf(1, 'unsynced'), '2'],
      ]);
      assert.equal(engine.storage.get(keyOf(1, 'gone')), undefined);
    }));
}
