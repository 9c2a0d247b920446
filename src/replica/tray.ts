/**
 * The tray of a turn: what was laid down to be stored together, and who waits for it. See `replica.ts`.
 */

import type { ByteString } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import type { StorageWrite } from '../ports/storage.ts';

/** Bounds of a tray: a storage that hangs must not make it grow for ever. Beyond, rows are refused. */
const trayBytesMax = 64 * 1024 * 1024;
const trayWaitersMax = 200_000;

/** Told when what it waited for is durable, or that it is not. */
export interface StoredWaiter {
  stored(error: CodedError | undefined): void;
}

export interface Tray {
  rows: Map<ByteString, Uint8Array>;
  /** Keyed notes (`notes.ts`); undefined deletes one. Made when the first is laid. */
  keyed: Map<ByteString, Uint8Array | undefined> | undefined;
  /** Notes of the node itself, and rows to delete (undefined). */
  notes: StorageWrite[];
  waiters: StoredWaiter[];
  /** Bytes of the rows laid on it, those that were replaced included. */
  bytes: number;
  /** Something on it must survive a power loss, whatever durability the rows have. */
  isSynced: boolean;
}

export function trayEmpty(): Tray {
  return { rows: new Map(), keyed: undefined, notes: [], waiters: [], bytes: 0, isSynced: false };
}

/** Whether there is nothing on it, and nobody waits. */
export function isTrayEmpty(tray: Tray): boolean {
  const { waiters, rows, notes, keyed } = tray;
  return waiters.length === 0 && rows.size === 0 && notes.length === 0 && keyed === undefined;
}

/** Whether the tray that fills, while another may be under way, holds as much as it may. */
export function isTrayFull(filling: Tray, underway: Tray | undefined): boolean {
  const waiters = filling.waiters.length + (underway?.waiters.length ?? 0);
  return filling.bytes > trayBytesMax || waiters > trayWaitersMax;
}

/** What goes to storage. Deletes first: a row written again this turn must survive its own clean-up. */
export function batchOf(tray: Tray): StorageWrite[] {
  const batch: StorageWrite[] = tray.notes;
  if (tray.keyed !== undefined) for (const [key, value] of tray.keyed) batch.push({ key, value });
  for (const [key, value] of tray.rows) batch.push({ key, value });
  return batch;
}
