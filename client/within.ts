/** Limits of one's own: on the time of several calls together, and on waiting for somebody else's answer. */

import { DureError } from './errors.ts';

/** Deadlines reach no further, milliseconds: a timer does not either. */
export const deadlineMsMax: number = 2 ** 31 - 1;

/**
 * One deadline for an operation that makes several calls, one after the other.
 * @returns a function that gives the options of the next call, with the time that is left
 */
export function shared<T extends { readonly deadlineMs?: number | undefined }>(
  options: T | undefined,
  deadlineMsDefault: number,
): () => T & { readonly deadlineMs: number } {
  const deadlineMs = options?.deadlineMs ?? deadlineMsDefault;
  const startedAt = performance.now();
  return () => ({ ...options!, deadlineMs: deadlineMs - (performance.now() - startedAt) });
}

/** The limit that was hit was that of the one who waits. */
export class OwnLimitError extends DureError {}

/**
 * What `answer` gives, if it comes in time.
 * @throws OwnLimitError after `deadlineMs`, or when `signal` is aborted
 */
export function within<T>(
  answer: Promise<T>,
  deadlineMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      end();
      reject(new OwnLimitError('aborted', 'none', false, 'the call was aborted', signal?.reason));
    };
    const timer = setTimeout(() => {
      end();
      reject(new OwnLimitError('deadline-exceeded', 'none', true, 'the deadline of the call passed'));
    }, deadlineMs);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    answer.then(
      (value) => {
        end();
        resolve(value);
      },
      (error: unknown) => {
        end();
        reject(error);
      },
    );
  });
}
