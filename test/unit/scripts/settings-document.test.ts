/** docs/operations.md lists the settings as they are in the code. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationsDocument } from '../../../scripts/settings-document.ts';

test('the settings in docs/operations.md are up to date (npm run settings:doc)', () => {
  const { now, wanted } = operationsDocument();
  assert.equal(now, wanted);
});
