/** What is read from the text of metrics, and the load that two readings make. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Bucket,
  Meters,
  quantileBetween,
  type Reading,
  readMetrics,
} from '../../../src/autoscale/samples.ts';

const page = `# HELP dure_reads_total Reads this node coordinated
# TYPE dure_reads_total counter
dure_reads_total 100
dure_writes_total 40
dure_updates_total 2
dure_forwards_total 30
dure_peer_live{peer="n2"} 1
dure_storage_disk_bytes 4096
dure_storage_memory_bytes 1024
process_cpu_user_seconds_total 1.5
process_cpu_system_seconds_total 0.25
process_uptime_seconds 60
dure_resp_latency_seconds_bucket{le="+Inf"} 20
dure_resp_latency_seconds_bucket{le="0.001"} 10
dure_resp_latency_seconds_bucket{le="0.01"} 20
dure_resp_latency_seconds_sum 0.1
dure_resp_latency_seconds_count 20
`;

const buckets = (...counts: number[]): Bucket[] =>
  [0.001, 0.01, Number.POSITIVE_INFINITY].map((bound, i) => ({ bound, count: counts[i]! }));

const members = [
  { id: 'n1', zone: 'a' },
  { id: 'n2', zone: 'b' },
];

function reading(more: Partial<Reading>): Reading {
  return { ...readMetrics(page), ...more };
}

describe('samples', () => {
  test('a page is read', () => {
    assert.deepEqual(readMetrics(page), {
      uptimeSeconds: 60,
      operations: 112,
      cpuSeconds: 1.75,
      storedBytes: 4096,
      latency: buckets(10, 20, 20),
    });
  });

  test('a page that lacks something says nothing of it, and nonsense is no page', () => {
    const less = readMetrics(page.replace('dure_writes_total 40\n', '').replace('1.5', 'NaN'));
    assert.equal(less.operations, undefined);
    assert.equal(less.cpuSeconds, undefined);
    assert.deepEqual(readMetrics('<html>\n{"a": 1}\n'), {
      uptimeSeconds: undefined,
      operations: undefined,
      cpuSeconds: undefined,
      storedBytes: undefined,
      latency: [],
    });
  });

  test('the load is the difference of two readings', () => {
    const meters = new Meters();
    const first = meters.read(members, new Map([['n1', reading({})]]));
    const unknown = { operations: undefined, cpu: undefined, p99Ms: undefined, diskBytes: undefined };
    assert.deepEqual(first, [
      { id: 'n1', zone: 'a', ...unknown, diskBytes: 4096 },
      { id: 'n2', zone: 'b', ...unknown },
    ]);
    const later = reading({
      uptimeSeconds: 64,
      operations: 912,
      cpuSeconds: 3.75,
      latency: buckets(110, 120, 120),
    });
    assert.deepEqual(meters.read(members, new Map([['n1', later]]))[0], {
      id: 'n1',
      zone: 'a',
      operations: 200,
      cpu: 0.5,
      p99Ms: 0.99,
      diskBytes: 4096,
    });
  });

  test('a process that was started again, or was not read in between, says nothing yet', () => {
    const meters = new Meters();
    meters.read(members, new Map([['n1', reading({ uptimeSeconds: 100 })]]));
    const [anew] = meters.read(members, new Map([['n1', reading({ uptimeSeconds: 1, operations: 500 })]]));
    assert.equal(anew!.operations, undefined);
    meters.read(members, new Map());
    const [gap] = meters.read(members, new Map([['n1', reading({ uptimeSeconds: 3 })]]));
    assert.equal(gap!.operations, undefined);
    const [then] = meters.read(members, new Map([['n1', reading({ uptimeSeconds: 4, operations: 120 })]]));
    assert.equal(then!.operations, 8);
  });

  test('quantiles of what came in between', () => {
    const none = buckets(10, 10, 10);
    const of = (quantile: number, ...counts: number[]): number => {
      const value = quantileBetween(none, buckets(...counts), quantile);
      return Math.round(value! * 1000) / 1000;
    };
    assert.equal(of(0.99, 10, 10, 10), 0);
    assert.equal(of(0.5, 10, 110, 110), 5.5);
    assert.equal(of(0.5, 110, 110, 110), 0.5);
    // Slower than the last bound: at least that.
    assert.equal(of(0.99, 10, 10, 20), 10);
    assert.equal(quantileBetween(none, buckets(9, 20, 20), 0.99), undefined);
    assert.equal(quantileBetween([], none, 0.99), undefined);
  });
});
