/**
 * The note of what has moved to this node: of one epoch, a bit a partition that is whole. After a crash the copying
 * goes on where it was; what the bits say is true only of the disk they were earned on (`generation`).
 */

import type { ByteString } from '../base/bytes.ts';
import { readU32, readU48, writeU32, writeU48 } from '../base/bytes.ts';
import { sealed, unsealedBody } from '../base/sealed-note.ts';
import { META_PREFIX } from '../rows/key.ts';

export const moveNoteKey: ByteString = `${META_PREFIX}moves`;

const headBytes = 10;

export interface MoveNote {
  readonly epoch: number;
  /** How often this node had lost its disk. */
  readonly generation: number;
  /** A byte a partition: 1 for one that is whole. */
  readonly done: Uint8Array;
}

export function writeMoveNote({ epoch, generation, done }: MoveNote): Uint8Array {
  const note = new Uint8Array(headBytes + Math.ceil(done.length / 8));
  writeU48(note, 0, epoch);
  writeU32(note, 6, generation);
  done.forEach((isDone, partition) => {
    if (isDone === 1) note[headBytes + (partition >> 3)]! |= 1 << (partition & 7);
  });
  return sealed(note);
}

/** @returns what the note says; undefined if it is damaged, or of another number of partitions: it says nothing */
export function readMoveNote(stored: Uint8Array, partitionCount: number): MoveNote | undefined {
  const note = unsealedBody(stored);
  if (note?.length !== headBytes + Math.ceil(partitionCount / 8)) return undefined;
  const done = new Uint8Array(partitionCount);
  for (let partition = 0; partition < partitionCount; partition++) {
    done[partition] = (note[headBytes + (partition >> 3)]! >> (partition & 7)) & 1;
  }
  return { epoch: readU48(note, 0), generation: readU32(note, 6), done };
}
