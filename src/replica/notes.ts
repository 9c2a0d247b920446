/**
 * Keyed notes: entries of the node's own in storage that are looked at before they are changed, as hints
 * are. They lie on the trays of the replica, so that they become durable with the rows of their turn.
 *
 * The picture: slips of paper between the rows of a tray. What a slip says is what the newest tray says
 * of it, else the tray under way, else storage. When a tray is lost, whoever counts the slips is told
 * which, for they say again what they said before.
 */

import type { ByteString } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import type { Storage } from '../ports/storage.ts';
import type { StoredWaiter, Tray } from './tray.ts';
import { isTrayEmpty } from './tray.ts';

/** What notes need of the replica: its trays, and its word on whether it takes anything. */
export interface TrayHolder {
  readonly storage: Storage;
  /** The tray of this turn. */
  tray(): Tray;
  /** The tray that is on its way to storage. */
  underway(): Tray | undefined;
  /** Why nothing can be laid down now, or undefined. */
  refusal(): CodedError | undefined;
  waitFor(tray: Tray, waiter: StoredWaiter | undefined): void;
  wake(): void;
}

export class Notes {
  readonly #holder: TrayHolder;
  /** Told of the notes of a tray that was lost, each with what it would have become. */
  onLost: ((lost: ReadonlyMap<ByteString, Uint8Array | undefined>) => void) | undefined = undefined;

  constructor(holder: TrayHolder) {
    this.#holder = holder;
  }

  /**
   * What the note says, durable or not; undefined for none.
   * @throws CodedError when storage cannot vouch for it.
   */
  get(key: ByteString): Uint8Array | undefined {
    const tray = this.#trayOf(key);
    return tray === undefined ? this.#holder.storage.get(key) : tray.keyed!.get(key);
  }

  /** Whether a change of the note waits to become durable. */
  isPending(key: ByteString): boolean {
    return this.#trayOf(key) !== undefined;
  }

  /** Whether an entry that is changed without being looked at, a row that is dropped among them, waits likewise. */
  isUnderway(key: ByteString): boolean {
    return isAmong(key, this.#holder.tray()) || isAmong(key, this.#holder.underway());
  }

  /** Whether no change of any note waits to become durable. */
  get areDurable(): boolean {
    return this.#holder.tray().keyed === undefined && this.#holder.underway()?.keyed === undefined;
  }

  /** Whether a change of the note lies on the tray of this turn. */
  isLaid(key: ByteString): boolean {
    return this.#holder.tray().keyed?.has(key) === true;
  }

  /** The notes of which a change waits to become durable. */
  pendingKeys(): ByteString[] {
    const laid = this.#holder.tray().keyed?.keys() ?? [];
    const underway = this.#holder.underway()?.keyed?.keys() ?? [];
    return [...laid, ...underway];
  }

  /**
   * Changes the note with the next batch; `value` undefined deletes it. `waiter` is told when that is
   * durable.
   * @returns why it was not laid down, or undefined; the waiter is then told nothing.
   */
  lay(
    key: ByteString,
    value: Uint8Array | undefined,
    waiter: StoredWaiter | undefined,
  ): CodedError | undefined {
    const holder = this.#holder;
    const refusal = holder.refusal();
    if (refusal !== undefined) return refusal;
    const tray = holder.tray();
    tray.keyed ??= new Map();
    tray.keyed.set(key, value);
    tray.bytes += key.length + (value?.length ?? 0);
    holder.waitFor(tray, waiter);
    holder.wake();
    return undefined;
  }

  /** Tells `waiter` when what `get` gives is durable: at once if it is. */
  whenDurable(key: ByteString, waiter: StoredWaiter): void {
    const tray = this.#trayOf(key);
    if (tray === undefined) waiter.stored(undefined);
    else this.#holder.waitFor(tray, waiter);
  }

  /** Tells `waiter` when all that lies on trays now, rows too, is durable or refused: at once if nothing does. */
  whenTraysWent(waiter: StoredWaiter): void {
    const tray = this.#holder.tray();
    const last = isTrayEmpty(tray) ? this.#holder.underway() : tray;
    if (last === undefined) waiter.stored(undefined);
    else this.#holder.waitFor(last, waiter);
  }

  /** A tray was lost: for the replica to call when it is under way no more. */
  lost(tray: Tray): void {
    if (tray.keyed !== undefined) this.onLost?.(tray.keyed);
  }

  #trayOf(key: ByteString): Tray | undefined {
    const tray = this.#holder.tray();
    if (tray.keyed?.has(key)) return tray;
    const underway = this.#holder.underway();
    return underway?.keyed?.has(key) ? underway : undefined;
  }
}

function isAmong(key: ByteString, tray: Tray | undefined): boolean {
  if (tray === undefined) return false;
  for (const note of tray.notes) if (note.key === key) return true;
  return false;
}
