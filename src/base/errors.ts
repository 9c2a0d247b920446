/**
 * Coded errors: what the world did, in a form a caller can act on.
 *
 * Each error has a stable `code`, an `outcome` (what it means for the data, promise P2 of
 * docs/guarantees.md) and a message that says what happened and what to do. The three outcomes:
 *
 * - `fail`: the operation was not applied and never will be; it is safe to send it again.
 * - `unknown`: it may have been applied, or may be later; reading the key tells.
 * - `none`: nothing was asked to be written (a refused input, a failed read).
 */

export type Outcome = 'fail' | 'unknown' | 'none';

/** Every code Dure gives, and what it means. The wire and the doors carry the code, not the class. */
export type ErrorCode =
  /** Fewer replicas can be reached than the quorum needs; nothing was written. */
  | 'quorum-unreachable'
  /** The deadline passed before the quorum answered. */
  | 'deadline-exceeded'
  /** The node has as many requests in flight as it allows; nothing was done. */
  | 'overloaded'
  /** The node is starting, stopping, or has lost its storage. */
  | 'unavailable'
  /** Key and value together are larger than the pair limit. */
  | 'pair-too-large'
  /** The stamp of a row lies further ahead of this node's clock than allowed. */
  | 'clock-offset'
  /** Storage failed (an IO error, a failed fsync). */
  | 'storage-failed'
  /** Storage is full; reads go on, writes resume when there is space. */
  | 'storage-full'
  /** Bytes failed their checksum. */
  | 'corrupt'
  /** A message or a handshake that does not follow the protocol. */
  | 'protocol'
  /** A row from before the tombstone horizon that came too late to be told from a deleted one; it was not taken. */
  | 'straggler'
  /** An operation this node does not know (a newer or older peer). */
  | 'unsupported'
  /** The key has several siblings, and the request can show or change one value only. */
  | 'siblings'
  /** A key has as many siblings, or its version vector as many actors, as allowed. */
  | 'siblings-full'
  /** A request with an argument that cannot be used. */
  | 'invalid';

/** An error with a code, an outcome and a message fit for a user. */
export class CodedError extends Error {
  override readonly name = 'CodedError';
  readonly code: ErrorCode;
  readonly outcome: Outcome;

  constructor(code: ErrorCode, outcome: Outcome, message: string) {
    super(message);
    this.code = code;
    this.outcome = outcome;
  }
}
