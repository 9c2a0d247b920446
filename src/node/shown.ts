/**
 * What a request that knows one value a key makes of one that may have several: reads and updates of Redis
 * commands, and the expiry that a policy gives to what is written without one.
 */

import { CodedError } from '../base/errors.ts';
import type { Policy } from '../coordinator/policy.ts';
import { encodeContext } from '../rows/context.ts';
import type { RowKey } from '../rows/key.ts';
import type { Row, RowBody } from '../rows/row.ts';
import { encodeRow, isRowLive, KIND_TOMBSTONE } from '../rows/row.ts';
import { isSiblingsRow, liveVersions, versionsOfRow } from '../rows/siblings.ts';
import type { Versions } from './api.ts';
import type { NodeContext } from './context.ts';

export function isSiblingsPolicy(policy: Policy): boolean {
  return policy.conflicts === 'siblings';
}

/**
 * The row of the one value that is shown: of siblings the newest by the clock, or the error `siblings` where the
 * policy says so. Undefined if nothing is alive.
 */
export function shownRow(
  context: NodeContext,
  rowKey: RowKey,
  row: Row | undefined,
  policy: Policy,
): Row | undefined | CodedError {
  if (row === undefined || !isSiblingsRow(row)) return isRowLive(row, context.wall()) ? row : undefined;
  const versions = liveVersions(row, context.wall(), context.replica.floor);
  context.siblings.watch.read(context.now(), rowKey, versions.length);
  const [newest] = versions;
  if (newest === undefined) return undefined;
  if (versions.length > 1) {
    context.tally.siblingsMet++;
    if (policy.siblingsRead === 'error') return siblingsError(versions.length);
  }
  return encodeRow(rowKey, newest.value, newest.event);
}

function siblingsError(count: number): CodedError {
  const message = `the key has ${count} siblings, written concurrently; read them all with DURE.GET, and write one value with the context it gives (DURE.SET), or delete them with it (DURE.DEL)`;
  return new CodedError('siblings', 'none', message);
}

/** All versions of a row that are alive, and the context of who has seen them. */
export function versionsShown(context: NodeContext, rowKey: RowKey, row: Row | undefined): Versions {
  const versions = liveVersions(row, context.wall(), context.replica.floor);
  if (row !== undefined && isSiblingsRow(row)) {
    context.siblings.watch.read(context.now(), rowKey, versions.length);
  }
  if (versions.length > 1) context.tally.siblingsMet++;
  return {
    versions: versions.map(({ event, value }) => ({ ...value, time: event.time })),
    context: encodeContext(rowKey, versionsOfRow(row)),
  };
}

/**
 * A new value as it is written: without an expiry of its own it gets that of the policy. Not for what goes on from the
 * value that was there (INCR, PERSIST): that is as it is.
 */
export function withDefaultExpiry(body: RowBody, policy: Policy, wall: number): RowBody {
  const { ttlMs } = policy;
  if (ttlMs === undefined || ttlMs === 0 || body.expireAt !== 0 || body.kind === KIND_TOMBSTONE) return body;
  return { ...body, expireAt: wall + ttlMs };
}
