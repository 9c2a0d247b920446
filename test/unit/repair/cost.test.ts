/** What comparisons may cost at most. `npm run repair:cost` prints the same for 10^6 rows. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { measureRepairCost } from '../../../scripts/repair/cost.ts';

it('100 differences in 100,000 rows: metadata, row bytes and equal partitions stay within their bounds', () => {
  const cost = measureRepairCost(100_000, 100, 100);
  assert.equal(cost.found, 100);
  assert.equal(cost.exchanged, 100);
  assert.ok(cost.metadataBytesPerRow <= 270, `${cost.metadataBytesPerRow} bytes of metadata a differing row`);
  assert.ok(cost.rowShare >= 1 && cost.rowShare <= 1.1, `${cost.rowShare} times the least row bytes`);
  assert.ok(cost.equalBytesPerPartition <= 64, `${cost.equalBytesPerPartition} bytes an equal partition`);
});
