/** `POST /repair`: a stream of lines, bounds, and bodies that make no sense. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HttpServer } from '../../../src/http/http-server.ts';
import type { DoorView } from '../../../src/http/metrics.ts';
import type { RepairLine } from '../../../src/http/repair.ts';
import type { RepairDemand, RepairDone, RepairProgress } from '../../../src/node/repair-demand.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { FakeNode } from '../../support/fake-node.ts';

const nothing: RepairProgress = {
  pairs: 0,
  equal: 0,
  failed: 0,
  rowsDiffering: 0,
  rowsSent: 0,
  rowsTaken: 0,
  rowsDropped: 0,
  bytes: 0,
  rowBytes: 0,
  failure: '',
  beganAt: 0,
};

/** Repairs when the test says so. */
class RepairingNode extends FakeNode {
  readonly runs: { demand: RepairDemand; progress: (progress: RepairProgress) => void; done: RepairDone }[] =
    [];

  override repair(
    demand: RepairDemand,
    progress: (progress: RepairProgress) => void,
    done: RepairDone,
  ): void {
    this.runs.push({ demand, progress, done });
    progress({ ...nothing, pairs: 3 });
  }
}

async function served(use: (node: RepairingNode, url: string) => Promise<void>): Promise<void> {
  const node = new RepairingNode();
  const door = { statistics: { latency: { total: 0, sum: 0, countUpTo: () => 0 } } } as unknown as DoorView;
  const server = new HttpServer(
    { port: 0 },
    { node, door, version: '0', fault: () => undefined, drain: async () => 0 },
    LOG_SILENT,
  );
  const port = await server.listen();
  try {
    await use(node, `http://127.0.0.1:${port}/repair`);
  } finally {
    await server.close();
  }
}

function post(url: string, body?: unknown): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { connection: 'close', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

test('POST /repair tells how far it is and how it ended', { timeout: 10_000 }, () =>
  served(async (node, url) => {
    const answer = await post(url, { partition: 5, all: true });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'application/x-ndjson');
    const [run] = node.runs;
    assert.deepEqual(run!.demand, { partitions: [5], all: true });
    run!.progress({ ...nothing, pairs: 3, equal: 2, rowsSent: 7 });
    run!.done(undefined, { ...nothing, pairs: 3, equal: 3, rowsSent: 9 });
    const lines = (await answer.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as RepairLine);
    assert.equal(lines[0]!.equal, 0);
    assert.equal(lines[0]!.done, false);
    const last = lines.at(-1)!;
    assert.equal(last.done, true);
    assert.equal(last.error, '');
    assert.equal(last.equal, 3);
    assert.equal(last.rowsSent, 9);
    assert.equal(last.node, node.id);
  }),
);

test('POST /repair without a body repairs everything', { timeout: 10_000 }, () =>
  served(async (node, url) => {
    const answer = await post(url);
    assert.equal(answer.status, 200);
    assert.deepEqual(node.runs[0]!.demand, {});
    node.runs[0]!.done(undefined, nothing);
    await answer.text();
  }),
);

test('POST /repair refuses nonsense, and a fifth at once', { timeout: 10_000 }, () =>
  served(async (node, url) => {
    for (const body of [{ partition: -1 }, { partition: 1e9 }, { partition: 'x' }, { what: 1 }, '{', [1]]) {
      const answer = await post(url, body);
      assert.equal(answer.status, 400, JSON.stringify(body));
      await answer.text();
    }
    assert.equal(node.runs.length, 0);
    const answers = await Promise.all(Array.from({ length: 4 }, () => post(url, {})));
    const fifth = await post(url, {});
    assert.equal(fifth.status, 429);
    await fifth.text();
    for (const { done } of node.runs) done(undefined, nothing);
    for (const answer of answers) await answer.text();
    const again = await post(url, {});
    assert.equal(again.status, 200);
    node.runs.at(-1)!.done(undefined, nothing);
    await again.text();
  }),
);
