/**
 * Assertions that stay on in production.
 *
 * An assertion is for a bug in Dure: a state the author proved impossible. What the world does
 * (a cut link, a full disk, bad input) is a `CodedError` instead. A failed assertion stops the node,
 * because going on from an impossible state could write it to disk and to its peers.
 */

/** Thrown by `assert`: always a bug in Dure, never caused by input. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/**
 * Fails with `AssertionError` unless `condition` holds.
 *
 * @param message what should have been true, as a sentence; a constant string, so that the happy
 *   path builds nothing.
 */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the `default` of an exhaustive switch: a value that the types say cannot exist. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable value ${String(value)}`);
}
