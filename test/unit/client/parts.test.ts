/** Parts of the client that promise numbers: percentiles, the purse of repetitions, waits, the queue, the tables. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fullJitterMs, RetryBudget } from '../../../client/backoff.ts';
import { DureError } from '../../../client/errors.ts';
import { Fifo } from '../../../client/fifo.ts';
import { LatencyHistogram } from '../../../client/metrics.ts';
import { readPolicies } from '../../../client/policies.ts';
import { Rests } from '../../../client/rests.ts';
import { joinAddress, readTopology, splitAddress, Topology } from '../../../client/topology.ts';
import { bytesOf } from '../../../src/base/bytes.ts';
import { ErrorReply, MapReply, type RespValue } from '../../../src/resp/value.ts';

test('a percentile is not too low, and at most an eighth and a microsecond too high', () => {
  const latencies = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(latencies, fc.double({ min: 0.01, max: 1, noNaN: true }), (values, share) => {
      const histogram = new LatencyHistogram();
      for (const value of values) histogram.record(value);
      const exact = values.toSorted((a, b) => a - b)[Math.ceil(share * values.length) - 1]!;
      const found = histogram.quantileMs(share);
      assert.ok(found >= exact, `${found} for ${exact}`);
      assert.ok(found <= exact * 1.125 + 0.001, `${found} for ${exact}`);
      const { count, maxMs } = histogram.summary();
      assert.deepEqual([count, maxMs], [values.length, Math.max(...values)]);
    }),
  );
});

test('repetitions are never more than the reserve and a share of the calls', () => {
  const acts = fc.array(fc.boolean(), { maxLength: 500 });
  const settings = fc.record({ share: fc.constantFrom(0, 0.1, 0.5, 1), reserve: fc.nat({ max: 20 }) });
  fc.assert(
    fc.property(settings, acts, ({ share, reserve }, isCall) => {
      const budget = new RetryBudget({ share, reserve });
      let calls = 0;
      let repetitions = 0;
      for (const call of isCall) {
        if (call) {
          budget.deposit();
          calls += 1;
        } else if (budget.withdraw()) repetitions += 1;
        assert.ok(repetitions <= reserve + calls * share + 1e-9);
        assert.ok(budget.tokens <= reserve && budget.tokens >= 0);
      }
    }),
  );
});

test('a node that refuses rests, longer each time, and is forgotten when it serves', () => {
  const rests = new Rests();
  const restOf = (from: number): number => {
    let ms = 0;
    while (rests.isResting('a', from + ms)) ms += 10;
    return ms;
  };
  assert.ok(rests.isEmpty && !rests.isResting('a', 0));
  let time = 0;
  const lengths: number[] = [];
  for (let i = 0; i < 8; i++) {
    rests.refused('a', time);
    // Sent before: of the same bad moment.
    rests.refused('a', time + 5);
    const ms = restOf(time);
    lengths.push(ms);
    time += ms + 10;
  }
  assert.deepEqual(lengths, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
  assert.ok(!rests.isResting('b', time));
  time += 4000;
  assert.ok(!rests.isResting('a', time) && rests.isEmpty, 'forgotten');
  rests.refused('a', time);
  assert.equal(restOf(time), 100, 'from the beginning');
  // Nodes that are gone are not kept.
  for (let i = 0; i < 100; i++) {
    time += 1000;
    rests.refused(`gone-${i}`, time);
  }
  rests.refused('b', time);
  assert.ok(rests.isResting('b', time) && !rests.isEmpty);
  assert.ok(!rests.isResting('b', time + 1000));
  assert.ok(!rests.isResting('gone-99', time + 1000) && rests.isEmpty);
});

test('waits double up to their limit', () => {
  for (let round = 0; round < 2000; round++) {
    const most = fullJitterMs(round, 10, 500, () => 1);
    assert.equal(most, Math.min(500, 10 * 2 ** Math.min(round, 10)));
    assert.equal(
      fullJitterMs(round, 10, 500, () => 0),
      0,
    );
  }
});

test('the queue gives what came in, in order, however it grows', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -3, max: 40 }), { maxLength: 60 }), (steps) => {
      const queue = new Fifo<number>();
      const model: number[] = [];
      let next = 0;
      for (const step of steps) {
        for (let i = 0; i < step; i++) {
          model.push(next);
          queue.push(next++);
        }
        for (let i = 0; i > step * 5; i--) assert.equal(queue.shift(), model.shift());
        assert.equal(queue.length, model.length);
      }
    }),
  );
});

const values: fc.Arbitrary<RespValue> = fc.letrec<{ value: RespValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<RespValue>(
      null,
      true,
      bytesOf('127.0.0.1'),
      bytesOf(''),
      bytesOf('PC/EC'),
      'prefix',
      0,
      6371,
      16_383,
    ),
    fc.integer(),
    fc.string().map((text) => bytesOf(text)),
    fc.constant(new ErrorReply('ERR', 'no')),
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.constantFrom<RespValue>(bytesOf('prefix'), bytesOf('policy'), 7), tie('value')), {
        maxLength: 3,
      })
      .map((pairs) => new MapReply(pairs)),
  ),
})).value;

/** What is nearly right goes further. */
const ranges: fc.Arbitrary<RespValue> = fc.array(
  fc.tuple(
    fc.oneof({ weight: 9, arbitrary: fc.nat({ max: 16_383 }) }, values),
    fc.oneof({ weight: 9, arbitrary: fc.nat({ max: 16_384 }) }, values),
    fc.tuple(
      fc.oneof(
        fc.constantFrom('a', '', '::1', '[', ']', 'a b', '[::1]').map((text) => bytesOf(text)),
        values,
      ),
      fc.oneof({ weight: 9, arbitrary: fc.integer({ min: -1, max: 65_536 }) }, values),
    ),
  ),
  { maxLength: 3 },
);

test('whatever a node says of slots and policies is understood or refused', () => {
  let understood = 0;
  fc.assert(
    fc.property(fc.oneof(values, ranges), fc.string(), (reply, key) => {
      assert.equal(typeof readPolicies(reply).isStrict(key), 'boolean');
      try {
        const topology = readTopology(reply, 'h');
        if (topology.nodes.length > 0) understood += 1;
        for (const address of topology.nodes) assert.ok(splitAddress(address) !== undefined, address);
      } catch (error) {
        assert.ok(error instanceof DureError && error.code === 'protocol', String(error));
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(understood > 20, `${understood} tables`);
});

test('addresses are taken apart and put together', () => {
  for (const address of ['127.0.0.1:6371', 'node-1.example:1', '[::1]:65535']) {
    const { host, port } = splitAddress(address)!;
    assert.equal(joinAddress(host, port), address);
  }
  for (const bad of ['', 'h', 'h:', 'h:0', 'h:65536', ':1', '::1:5', '[::1]', 'h:1 ', 'h:-1']) {
    assert.equal(splitAddress(bad), undefined, bad);
  }
});

test('tables are equal when they say the same of every slot, however it is put', () => {
  const table = (...parts: [from: number, to: number, ...nodes: string[]][]): Topology =>
    new Topology(parts.map(([from, to, ...nodes]) => ({ from, to, nodes })));
  const whole = table([0, 8191, 'a:1', 'b:1'], [8192, 16_383, 'b:1', 'a:1']);
  const pieces = table([8192, 16_383, 'b:1', 'a:1'], [0, 100, 'a:1', 'b:1'], [101, 8191, 'a:1', 'b:1']);
  assert.ok(whole.equals(pieces) && pieces.equals(whole));
  for (const other of [
    table([0, 8191, 'a:1', 'b:1'], [8192, 16_383, 'a:1', 'b:1']),
    table([0, 8190, 'a:1', 'b:1'], [8191, 16_383, 'b:1', 'a:1']),
    table([0, 8191, 'a:1', 'b:1'], [8192, 16_382, 'b:1', 'a:1']),
    table([0, 8191, 'a:1', 'b:1'], [8192, 16_383, 'b:1', 'a:1', 'c:1']),
    table(),
  ]) {
    assert.ok(!whole.equals(other) && !other.equals(whole));
  }
  assert.ok(table().equals(table([5, 9])), 'nobody is nobody');
});
