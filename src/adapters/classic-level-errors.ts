/**
 * The disk engine's errors: what LevelDB or the file system said, what it means for the data, and what
 * to do. LevelDB tells causes only as text, so text is what they are told apart by.
 */

import { CodedError } from '../base/errors.ts';

/** What an error says, wherever abstract-level put it. */
export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // abstract-level wraps: the outer error says "not open", the cause says why.
  return error.cause instanceof Error ? error.cause.message : error.message;
}

/** Whether an error of LevelDB or of the file system means that there is no room. */
export function isFull(error: unknown): boolean {
  return /no space left|disk quota exceeded|ENOSPC|EDQUOT/i.test(textOf(error));
}

/** The code LevelDB gave an error, wherever abstract-level put it. */
function levelCode(error: unknown): string | undefined {
  const { code, cause } = error as { code?: string; cause?: { code?: string } };
  return cause?.code ?? code;
}

/** What a failure to open means, in a form an operator can act on. */
export function openingError(directory: string, error: unknown): CodedError {
  const text = textOf(error);
  if (levelCode(error) === 'LEVEL_LOCKED') {
    return new CodedError(
      'storage-failed',
      'none',
      `the database in ${directory} is open in another process (${text}); the data is untouched; stop that process or use another data directory`,
    );
  }
  if (isFull(error)) {
    return new CodedError(
      'storage-full',
      'none',
      `no space to open the database in ${directory} (${text}); the data is untouched; free some space and start again`,
    );
  }
  if (
    levelCode(error) === 'LEVEL_CORRUPTION' ||
    /corrupt|missing files|does not exist|no such file/i.test(text)
  ) {
    return damagedError(directory, text);
  }
  return new CodedError(
    'storage-failed',
    'none',
    `the database in ${directory} does not open (${text}); nothing was changed; check the disk and its permissions`,
  );
}

/** The error for a database that is of no use any more. */
export function damagedError(directory: string, text: string): CodedError {
  return new CodedError(
    'corrupt',
    'none',
    `the database in ${directory} is damaged and cannot be used (${text}); the other replicas, where there are any, still hold the rows`,
  );
}

/** The error of a read that LevelDB could not do. */
export function readingError(error: unknown): CodedError {
  const text = textOf(error);
  const code =
    levelCode(error) === 'LEVEL_CORRUPTION' || /corruption/i.test(text) ? 'corrupt' : 'storage-failed';
  return new CodedError(
    code,
    'none',
    `a row could not be read from disk (${text}); the other replicas hold it`,
  );
}

export function reopeningError(): CodedError {
  return new CodedError(
    'unavailable',
    'none',
    'the database is being opened anew after a full disk; try again',
  );
}

/** A write refused because the disk is full. */
export function fullError(): CodedError {
  return new CodedError(
    'storage-full',
    'fail',
    'the disk is full: nothing was written; reads go on, and writes resume by themselves when there is space',
  );
}

/** A write refused because too many wait. */
export function overloadedError(): CodedError {
  return new CodedError(
    'overloaded',
    'fail',
    'more writes are waiting for the disk than queueBytesMax allows; nothing was written, try again later',
  );
}

/** A write refused, or a close that cannot vouch for its data, after the engine failed. */
export function failedError(failure: string): CodedError {
  return new CodedError('storage-failed', 'fail', `storage has failed and takes no writes: ${failure}`);
}

/** The commit that met the error: LevelDB may have written it whole, in part or not at all. */
export function commitError(full: boolean, cause: string): CodedError {
  return full
    ? new CodedError('storage-full', 'unknown', 'the disk became full during this write; free some space')
    : new CodedError('storage-failed', 'unknown', `the disk failed during this write: ${cause}`);
}
