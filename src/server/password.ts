/**
 * The password of the RESP door. What is kept is its SHA-256, and digests are compared in constant time,
 * so that neither the length nor the first differing byte of a guess shows in how long the answer takes.
 */

import { createHash, timingSafeEqual } from 'node:crypto';

export class Password {
  readonly #digest: Uint8Array;

  /** @param text the password as configured; clients send it as UTF-8. */
  constructor(text: string) {
    this.#digest = createHash('sha256').update(text, 'utf8').digest();
  }

  /** Whether `guess` is the password, in a time that does not depend on how nearly. */
  matches(guess: Uint8Array): boolean {
    return timingSafeEqual(this.#digest, createHash('sha256').update(guess).digest());
  }
}
