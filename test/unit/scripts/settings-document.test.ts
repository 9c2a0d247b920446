/** docs/operations.md and docs/autoscaling.md list the settings as they are in the code. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { autoscalingDocument, operationsDocument } from '../../../scripts/settings-document.ts';

test('the settings in docs/operations.md are up to date (npm run settings:doc)', () => {
  const { now, wanted } = operationsDocument();
  assert.equal(now, wanted);
});

test('the settings in docs/autoscaling.md are up to date (npm run settings:doc)', () => {
  const { now, wanted } = autoscalingDocument();
  assert.equal(now, wanted);
});
