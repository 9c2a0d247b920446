/**
 * Opening a LevelDB directory, and telling what LevelDB would not: whether it lost something.
 *
 * Before LevelDB replays its log (and deletes it), the log is read for holes; after, the commit found
 * is held against the commit promised. A loss is written down in the file `loss` before LevelDB gets to
 * the evidence, and stays reported at each open until the caller says that it is repaired. An engine that
 * failed while it ran writes it down as well (an fsync that failed leaves no trace).
 *
 * A database that does not open at all can be set aside, evidence and all, for an empty one.
 */

import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdir, open as openFile, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { readU48 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { damagedError, openingError } from './classic-level-errors.ts';
import { DurableSequence, syncDirectory } from './durable-sequence.ts';
import { scanLogs } from './leveldb-log.ts';
import { MachineMark } from './machine-mark.ts';
import { findDamage } from './table-check.ts';

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
  readonly machineMark: MachineMark;
  readonly sequenceFound: number;
  readonly sequencePromised: number;
  /** What was lost, in words, or undefined when nothing was. */
  readonly loss: string | undefined;
  /** It is gone for sure, and had been promised to stay; else it may be, as `interval` allows after a power loss. */
  readonly isLossCertain: boolean;
}

/** Before a loss that is not certain, in the file `loss`. */
const possibly = 'possibly: ';
/** Before what makes the database useless. */
const damagedFor = 'damaged: ';

/** Opens a storage directory, made if absent. @throws CodedError `corrupt`, `storage-failed`, `storage-full`. */
export async function openDirectory(directory: string, settings: DatabaseSettings): Promise<DirectoryOpened> {
  let durableSequence: DurableSequence | undefined;
  let database: Database | undefined;
  try {
    await mkdir(directory, { recursive: true });
    const noted = await readLoss(directory);
    if (noted?.startsWith(damagedFor)) throw damagedError(directory, noted.slice(damagedFor.length));
    if (await beginTrial(directory)) {
      const damage = await findDamage(rowsDirectory(directory));
      if (damage !== undefined) throw damagedError(directory, damage);
    }
    let loss = noted?.startsWith(possibly) ? undefined : noted;
    const machineMark = new MachineMark(directory);
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
    const isKnown = loss !== undefined;
    if (!isKnown && sequenceFound < sequencePromised) {
      loss = `commits ${sequenceFound + 1} to ${sequencePromised} were durable and are gone`;
    } else if (!isKnown && state !== 'read' && sequenceFound > 0) {
      loss = `the durable sequence was ${state}, so nobody can tell whether commits after ${sequenceFound} are gone`;
    }
    const isCertain = loss !== undefined;
    if (!isCertain)
      loss = noted ?? (machineMark.loss === undefined ? undefined : possibly + machineMark.loss);
    if (!isKnown && loss !== undefined && loss !== noted) await writeLoss(directory, loss);
    return {
      database,
      durableSequence,
      machineMark,
      sequenceFound,
      sequencePromised,
      loss: loss?.replace(possibly, ''),
      isLossCertain: isCertain,
    };
  } catch (error) {
    durableSequence?.close();
    await database?.close().catch(() => {});
    throw error instanceof CodedError ? error : openingError(directory, error);
  }
}

function trialPath(directory: string): string {
  return join(directory, 'trial');
}

/**
 * Says that the database is being opened. @returns whether the last one who said so ended without a word
 * within its first minute: damaged tables may have brought it down.
 */
async function beginTrial(directory: string): Promise<boolean> {
  try {
    await (await openFile(trialPath(directory), 'wx', 0o644)).close();
    return false;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return true;
    if (code === 'ENOSPC' || code === 'EDQUOT') return false;
    throw error;
  }
}

/** The database has been open for a while, or was closed: nothing is the matter with it. */
export function endTrial(directory: string): void {
  rmSync(trialPath(directory), { force: true });
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

/**
 * Writes a loss down at once, from an engine that has just failed, unless one is written down already. What
 * cannot be written is not: the disk is broken, after all.
 * @param damaged the next opening is to fail with `corrupt`
 */
export function noteLoss(directory: string, loss: string, damaged: boolean): void {
  try {
    const descriptor = openSync(lossPath(directory), damaged ? 'w' : 'wx', 0o644);
    try {
      writeSync(descriptor, `${damaged ? damagedFor : ''}${loss}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // The peers' memory is left to tell.
  }
}

/** What of a data directory belongs to the database. */
const databaseFiles = ['rows', 'durable-sequence', 'machine', 'trial'];

/**
 * Sets a database that cannot be used aside, and leaves an empty directory that knows of the loss.
 * @param stamp names the folder it goes to, `damaged-<stamp>` in the directory. Nothing is deleted.
 * @returns that folder.
 * @throws the file system's error.
 */
export async function setAside(directory: string, stamp: string, loss: string): Promise<string> {
  const aside = join(directory, `damaged-${stamp}`);
  await mkdir(aside);
  // First of all: a crash half way must not leave a directory that looks new.
  await writeLoss(directory, loss);
  const names = await readdir(directory);
  for (const name of databaseFiles) {
    if (names.includes(name)) await rename(join(directory, name), join(aside, name));
  }
  await syncDirectory(aside);
  await syncDirectory(directory);
  return aside;
}
