/**
 * The incarnation of a start: a number that every start of the process raises, stored before anything is
 * said in its name, so that what was said of an earlier life is never taken for the present one.
 *
 * The picture: the number on a new edition. A node whose disk was lost begins again at one; its peers
 * remember a later edition and tell it, and it goes above that (`src/membership/gossip-list.ts`).
 */

import type { ByteString } from '../base/bytes.ts';
import { readU48, writeU48 } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import { incarnationOfStart } from '../membership/entry.ts';
import type { Storage } from '../ports/storage.ts';
import type { Replica } from '../replica/replica.ts';
import { META_PREFIX } from '../rows/key.ts';

export const incarnationKey: ByteString = `${META_PREFIX}incarnation`;

/**
 * Raises the stored incarnation; `done` with this start's one when it is durable, or with the error of
 * the storage that does not grant it.
 * @throws CodedError when storage cannot be read.
 */
export function raiseIncarnation(
  storage: Storage,
  replica: Replica,
  done: (error: CodedError | undefined, incarnation: number) => void,
): void {
  const stored = storage.get(incarnationKey);
  // A note of another length is damaged: the peers know better, and tell.
  const last = stored?.length === 6 ? readU48(stored, 0) : 0;
  const incarnation = incarnationOfStart(last);
  const note = new Uint8Array(6);
  writeU48(note, 0, incarnation);
  replica.note(incarnationKey, note, { stored: (error) => done(error, incarnation) });
}
