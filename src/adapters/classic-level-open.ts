/**
 * Opening a LevelDB directory, and telling what LevelDB would not: whether it lost something.
 *
 * Before LevelDB replays its log (and deletes it), the log is read for holes; after, the commit found
 * is held against the commit promised. A loss is written down in the file `loss` before LevelDB gets to
 * the evidence, and stays reported at each open until the caller says that it is repaired.
 */

import { mkdir, open as openFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { readU48 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { openingError } from './classic-level-errors.ts';
import { DurableSequence, syncDirectory } from './durable-sequence.ts';
import { scanLogs } from './leveldb-log.ts';

export type Database = ClassicLevel<Uint8Array, Uint8Array>;

/** LevelDB's settings; the defaults of `ClassicLevelStorage` come from measurements (docs/design/storage.md). */
export interface DatabaseSettings {
  readonly cacheBytes: number;
  readonly writeBufferBytes: number;
}

/** Where the number of the last commit is kept, written with every batch. */
export const commitKey: Uint8Array = Buffer.from('\xff\x00commit', 'latin1');

const blockBytes = 8192;
const fileBytesMax = 8 * 1024 * 1024;

/** The directory in which LevelDB itself lives. */
export function rowsDirectory(directory: string): string {
  return join(directory, 'rows');
}

function lossPath(directory: string): string {
  return join(directory, 'loss');
}

/** Opens LevelDB and reads its commit number. @throws CodedError, see `openingError`. */
export async function openDatabase(
  directory: string,
  settings: DatabaseSettings,
): Promise<{ database: Database; sequence: number }> {
  const database: Database = new ClassicLevel<Uint8Array, Uint8Array>(rowsDirectory(directory), {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    cacheSize: settings.cacheBytes,
    writeBufferSize: settings.writeBufferBytes,
    blockSize: blockBytes,
    maxFileSize: fileBytesMax,
    compression: true,
  });
  try {
    await database.open();
  } catch (error) {
    throw openingError(directory, error);
  }
  try {
    const commit = database.getSync(commitKey);
    return { database, sequence: commit === undefined || commit.length < 6 ? 0 : readU48(commit, 0) };
  } catch (error) {
    await database.close().catch(() => {});
    throw openingError(directory, error);
  }
}

export interface DirectoryOpened {
  readonly database: Database;
  readonly durableSequence: DurableSequence;
  readonly sequenceFound: number;
  readonly sequencePromised: number;
  /** What was lost, in words, or undefined when nothing was. */
  readonly loss: string | undefined;
}

/** Opens a storage directory, made if absent. @throws CodedError `corrupt`, `storage-failed`, `storage-full`. */
export async function openDirectory(directory: string, settings: DatabaseSettings): Promise<DirectoryOpened> {
  let durableSequence: DurableSequence | undefined;
  let database: Database | undefined;
  try {
    await mkdir(directory, { recursive: true });
    let loss = await readLoss(directory);
    const { hole } = await scanLogs(rowsDirectory(directory));
    if (hole !== undefined && loss === undefined) {
      loss = `the commit log has a hole: ${hole}`;
      await writeLoss(directory, loss);
    }
    const opened = await openDatabase(directory, settings);
    database = opened.database;
    durableSequence = await DurableSequence.open(join(directory, 'durable-sequence'));
    const { state, sequence: sequencePromised } = durableSequence.found;
    const sequenceFound = opened.sequence;
    if (loss === undefined) {
      if (sequenceFound < sequencePromised) {
        loss = `commits ${sequenceFound + 1} to ${sequencePromised} were durable and are gone`;
      } else if (state !== 'read' && sequenceFound > 0) {
        loss = `the durable sequence was ${state}, so nobody can tell whether commits after ${sequenceFound} are gone`;
      }
      if (loss !== undefined) await writeLoss(directory, loss);
    }
    return { database, durableSequence, sequenceFound, sequencePromised, loss };
  } catch (error) {
    durableSequence?.close();
    await database?.close().catch(() => {});
    throw error instanceof CodedError ? error : openingError(directory, error);
  }
}

/** Writes a loss down, durably. */
async function writeLoss(directory: string, loss: string): Promise<void> {
  const handle = await openFile(lossPath(directory), 'w', 0o644);
  try {
    await handle.writeFile(`${loss}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await syncDirectory(directory);
}

async function readLoss(directory: string): Promise<string | undefined> {
  try {
    return (await readFile(lossPath(directory), 'utf8')).trim() || 'a loss was found by an earlier start';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Forgets a loss, once its rows are back from the other replicas. */
export async function clearLoss(directory: string): Promise<void> {
  await rm(lossPath(directory), { force: true });
  await syncDirectory(directory);
}
