/** `GET /status` and the metrics made of the status: all of it, nothing invented, and as documented. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Histogram } from '../../../src/base/histogram.ts';
import { HttpServer } from '../../../src/http/http-server.ts';
import type { DoorView } from '../../../src/http/metrics.ts';
import { STATUS_SCHEMA, type StatusAnswer } from '../../../src/http/status.ts';
import type { NodeStatus } from '../../../src/node/status.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { Statuses } from '../../support/statuses.ts';

const door: DoorView = {
  connectionCount: 0,
  bufferedBytes: 0,
  statistics: {
    connectionsReceived: 0,
    connectionsRejected: 0,
    connectionsCut: 0,
    protocolErrors: 0,
    commands: 0,
    commandsRefused: 0,
    inputBytes: 0,
    outputBytes: 0,
    latency: new Histogram(),
  },
};

/** What a node with this status answers. */
async function answersOf(
  status: NodeStatus,
  fault?: string,
): Promise<{ status: StatusAnswer; page: string }> {
  const node = new FakeNode();
  node.status = () => status;
  const sources = { node, door, version: '1.2.3', fault: () => fault, drain: async () => 0 };
  const server = new HttpServer({ port: 0 }, sources, LOG_SILENT);
  const url = `http://127.0.0.1:${await server.listen()}`;
  try {
    const answer = await fetch(`${url}/status`);
    assert.equal(answer.status, 200);
    return {
      status: (await answer.json()) as StatusAnswer,
      page: await (await fetch(`${url}/metrics`)).text(),
    };
  } finally {
    await server.close();
  }
}

function statusOf(change: (cluster: Statuses) => void = () => {}): NodeStatus {
  const cluster = new Statuses();
  change(cluster);
  const { version, fault, ...status } = cluster.look().nodes[0]!.answer!;
  return status;
}

const busy = (cluster: Statuses): void => {
  cluster.down('n3', 200_000);
  cluster.hint('n1', 'n3', {
    count: 1204,
    bytes: 118_300,
    oldestAgeMs: 198_400,
    delivered: 5,
    rowsPerSecond: 1.5,
  });
  Object.assign(cluster.view('n1', 'n2'), { clockOffsetMs: -12.5, seenThrough: 'n3', phi: 0.25 });
  Object.assign(cluster.of('n1').repair, { differing: 3, unknown: 0, equal: 2045, rowsSent: 7 });
  cluster.of('n1').partitions.strays = 4;
  cluster.of('n1').change = {
    kind: 'join',
    nodes: ['n3'],
    gone: [],
    cancelled: false,
    phase: 'copy',
    sinceMs: 12_500,
    busy: ['n1', 'n3'],
    waitsFor: ['n3'],
    partitions: 512,
    partitionsDone: 320,
    bytes: 1000,
    bytesLeft: 600,
    bytesPerSecond: 10,
  };
  Object.assign(cluster.of('n1').horizon, { held: 2, heldBy: 'n3', reason: 'it is away' });
};

test('the answer has everything the status has, with version and fault, and nothing lost in the schema', async () => {
  const status = statusOf(busy);
  const { status: answer } = await answersOf(status, 'the node is stopping');
  assert.deepEqual(answer, { ...status, version: '1.2.3', fault: 'the node is stopping' });
});

test('parts that a node does not have are left out', async () => {
  const { hints, repair, horizon, past, siblings, ...rest } = statusOf();
  const { status: answer, page } = await answersOf(rest);
  assert.deepEqual(answer, { ...rest, version: '1.2.3', fault: '' });
  for (const name of [
    'dure_hints',
    'dure_horizon_age_seconds',
    'dure_whole',
    'dure_repair_replicas',
    'dure_siblings_values_most',
    'dure_siblings_values_bucket',
  ]) {
    assert.doesNotMatch(page, new RegExp(`^${name}[ {]`, 'm'), `${name} has no samples`);
  }
});

test('metrics tell the same', async () => {
  const { page } = await answersOf(statusOf(busy));
  for (const sample of [
    'dure_verdict 1',
    'dure_settled 0',
    'dure_partitions_strays 4',
    'dure_change_seconds 12.5',
    'dure_change_waits_for 1',
    'dure_change_partitions 512',
    'dure_change_partitions_done 320',
    'dure_replication_lag_seconds{peer="n2"} 0',
    'dure_replication_lag_seconds{peer="n3"} 198.4',
    'dure_peer_phi{peer="n2"} 0.25',
    'dure_peer_status{peer="n2",status="alive"} 1',
    'dure_peer_status{peer="n2",status="down"} 0',
    'dure_peer_status{peer="n3",status="down"} 1',
    'dure_peer_clock_offset_seconds{peer="n2"} -0.0125',
    'dure_hints{peer="n2"} 0',
    'dure_hints{peer="n3"} 1204',
    'dure_hints_bytes{peer="n3"} 118300',
    'dure_hints_oldest_seconds{peer="n3"} 198.4',
    'dure_repair_replicas{state="differing"} 3',
    'dure_repair_round_age_seconds 300',
    'dure_repair_rows_sent_total 7',
    'dure_moved_rows_total 0',
    'dure_horizon_age_seconds 180',
    'dure_horizon_partitions_held 2',
    'dure_whole 1',
    'dure_partitions_vouched 1024',
    'dure_storage_full 0',
    'dure_siblings_reads_total 12',
    'dure_siblings_writes_total 40',
    'dure_siblings_refused_total 0',
    'dure_siblings_values_most 3',
    'dure_siblings_values_max 32',
    'dure_siblings_vector_bytes_most 60',
    'dure_siblings_row_bytes_most 700',
    'dure_siblings_values_bucket{le="1"} 28',
    'dure_siblings_values_bucket{le="4"} 40',
    'dure_siblings_values_bucket{le="64"} 40',
    'dure_siblings_values_bucket{le="+Inf"} 40',
    'dure_siblings_values_sum 57',
    'dure_siblings_values_count 40',
  ]) {
    assert.ok(page.includes(`\n${sample}\n`), sample);
  }
  assert.doesNotMatch(page, /dure_replication_lag_seconds\{peer="n1"\}/, 'a node is no peer of itself');
  assert.doesNotMatch(page, /dure_peer_clock_offset_seconds\{peer="n3"\}/, 'not known is no zero');
});

/** Names of every property of a schema, with those of the objects inside it. */
function namesOf(schema: unknown): unknown {
  const { properties, items } = schema as { properties?: Record<string, unknown>; items?: unknown };
  if (items !== undefined) return [namesOf(items)];
  if (properties === undefined) return '';
  return Object.fromEntries(
    Object.keys(properties)
      .sort()
      .map((name) => [name, namesOf(properties[name])]),
  );
}

function namesIn(value: unknown): unknown {
  if (Array.isArray(value)) return [namesIn(value.at(-1))];
  if (typeof value !== 'object' || value === null) return '';
  const object = value as Record<string, unknown>;
  return Object.fromEntries(
    Object.keys(object)
      .sort()
      .map((name) => [name, namesIn(object[name])]),
  );
}

test('the example in docs/operations.md has exactly the names of the schema', () => {
  const text = readFileSync(new URL('../../../docs/operations.md', import.meta.url), 'utf8');
  const example = /### `GET \/status`[\s\S]*?```json\n([\s\S]*?)```/.exec(text)?.[1];
  assert.ok(example !== undefined, 'there is an example');
  assert.deepEqual(namesIn(JSON.parse(example)), namesOf(STATUS_SCHEMA));
});
