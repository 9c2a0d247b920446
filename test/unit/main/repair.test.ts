/** What `dure repair` shows: the sum over the nodes, as a bar and as a last line. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RepairLine } from '../../../src/http/repair.ts';
import { progressLine, summaryLine, sumOf } from '../../../src/main/repair.ts';

const line: RepairLine = {
  node: 'n1',
  pairs: 100,
  equal: 40,
  failed: 10,
  rowsDiffering: 12,
  rowsSent: 3,
  rowsTaken: 4,
  rowsDropped: 5,
  bytes: 4096,
  rowBytes: 1000,
  failure: '',
  elapsedMs: 10_000,
  done: false,
  error: '',
};

test('adds up what the nodes tell', () => {
  const sum = sumOf([line, { ...line, node: 'n2', equal: 90, failed: 0, elapsedMs: 8000 }]);
  assert.deepEqual(sum, {
    pairs: 200,
    equal: 130,
    failed: 10,
    rowsDiffering: 24,
    rowsExchanged: 24,
    bytes: 8192,
    rowBytes: 2000,
    elapsedMs: 10_000,
  });
});

test('draws how far it is, and the time left', () => {
  const bar = progressLine(sumOf([line]));
  assert.match(
    bar,
    /^\[█{12}─{12}\] 50 % · 40 of 100 pairs equal · 12 rows exchanged · 4\.0 KiB · 10s left$/,
  );
  assert.match(progressLine(sumOf([])), /^\[─{24}\] 0 % · 0 of no pairs equal/);
  assert.doesNotMatch(progressLine(sumOf([{ ...line, equal: 100, failed: 0 }])), /left/);
});

test('says in one line what was done', () => {
  assert.equal(
    summaryLine(sumOf([{ ...line, equal: 100, failed: 0 }])),
    'all 100 pairs of replicas equal after 10s: 12 rows differed, 12 exchanged, 4.0 KiB between the nodes',
  );
  assert.match(summaryLine(sumOf([line])), /^40 of 100 pairs of replicas equal/);
});
