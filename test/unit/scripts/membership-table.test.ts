/** The goals of membership on a small sample of what `npm run membership:table` prints. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { detectionOf, falseDownsOf, trafficOf } from '../../../scripts/membership/network.ts';

test('bytes a node a second are bounded, and the same from 5 to 100 nodes', () => {
  const [three, five, thirty, hundred] = [3, 5, 30, 100].map((size) => trafficOf(size, 1)) as [
    number,
    number,
    number,
    number,
  ];
  assert.ok(three <= five && five < 3300);
  assert.ok(thirty < five * 1.1 && hundred < five * 1.1, `${five} ${thirty} ${hundred} bytes`);
});

test('a dead node is down for all others within 5 s at p99, with and without loss', () => {
  for (const [size, kills] of [
    [3, 10],
    [10, 8],
    [100, 3],
  ] as const) {
    for (const loss of [0, 0.05]) {
      const { p50Ms, p99Ms, missed } = detectionOf(size, kills, loss, 3);
      assert.equal(missed, 0);
      assert.ok(p99Ms <= 5000, `${size} nodes: ${p99Ms} ms`);
      // Not so quick that a freeze of 2 s could be meant.
      assert.ok(p50Ms > 2500);
    }
  }
});

test('no false down: idle, and with 5 % loss and freezes of 2 s', () => {
  for (const size of [3, 10, 30]) {
    assert.equal(falseDownsOf(size, 1, 0, 0, 5).falseDowns, 0);
    const rough = falseDownsOf(size, 1, 0.05, 60_000, 6);
    assert.equal(rough.falseDowns, 0);
    assert.ok(rough.freezes > 20 && rough.suspicions > 20);
  }
});

test('the sample can fail: a node that calls down without probing is noticed', () => {
  const mutants = new Set(['down-without-probe']);
  assert.ok(falseDownsOf(5, 0.5, 0.05, 60_000, 6, mutants).falseDowns > 0);
});
