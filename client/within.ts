/** Waiting for somebody else's answer, within limits of one's own. */

import { DureError } from './errors.ts';

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
