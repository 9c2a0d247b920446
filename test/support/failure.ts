/** How a call of the client or of an embedded node failed. */

import assert from 'node:assert/strict';
import { DureError } from '../../client/index.ts';

/** The error that a call ends with; fails if it succeeds, or with any other kind of error. */
export async function failure(call: Promise<unknown>): Promise<DureError> {
  const error = await call.then(
    () => assert.fail('the call did not fail'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DureError, `a DureError, not ${error}`);
  return error;
}
