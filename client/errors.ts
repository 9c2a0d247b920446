/**
 * The one error class of the client. The picture: a parcel that comes back with a label that says why
 * (`code`), whether somebody may have opened it (`outcome`), and whether to send it again (`retryable`).
 */

import type { Outcome } from '../src/base/errors.ts';

export type { Outcome } from '../src/base/errors.ts';

/**
 * Codes in small letters are the client's own; codes in capitals are the first word of a node's error
 * (`TRYAGAIN`, `UNKNOWN`, `SIBLINGS`, `WRONGTYPE`, …; docs/commands.md).
 */
export type ClientErrorCode =
  /** The deadline of the call passed. */
  | 'deadline-exceeded'
  /** The signal of the call was aborted. */
  | 'aborted'
  /** The client was closed. */
  | 'closed'
  /** The client has as many calls under way, or waiting for a node, as it allows; nothing was sent. */
  | 'overloaded'
  /** The connection was lost after the request was sent. */
  | 'connection-lost'
  /** No node could be reached in time. */
  | 'unreachable'
  /** The codec failed on a value. */
  | 'codec'
  /** The resolver failed on siblings. */
  | 'merge'
  /** A node answered with something that the client does not understand. */
  | 'protocol'
  /** An argument or option that cannot be used. */
  | 'invalid';

/** What a call fails with, always. */
export class DureError extends Error {
  override readonly name = 'DureError';
  /** A `ClientErrorCode`, or the first word of a node's error. */
  readonly code: string;
  /**
   * `fail`: the write was not applied and never will be. `unknown`: it may have been, or may be later;
   * read the key to know. `none`: nothing was asked to be written.
   */
  readonly outcome: Outcome;
  /** Whether the same call may succeed later without doing harm: never true when `outcome` is `unknown`. */
  readonly retryable: boolean;

  constructor(
    code: ClientErrorCode | (string & {}),
    outcome: Outcome,
    retryable: boolean,
    message: string,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.outcome = outcome;
    this.retryable = retryable && outcome !== 'unknown';
  }
}

/** An argument or option that cannot be used. */
export function invalid(message: string): DureError {
  return new DureError('invalid', 'none', false, message);
}
