/**
 * The sibling watch: how many values keys have that are read and written here, for those who must act when clients
 * write without the context they read.
 *
 * The picture: a porter with a tally sheet. Every key that comes by with a set of values gets a stroke in the column
 * of its number; the fullest of the last minutes stands on the board with the beginning of its name; and when a key
 * is turned away because it is full, he calls out once, and then counts for a minute.
 *
 * Keys without siblings never come by here.
 */

import type { Log } from '../ports/log.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeyUserKey } from '../rows/key.ts';
import type { SiblingsStatus } from './status.ts';

/** Upper bounds of the columns of `SiblingsStatus.readsByValues`; the last one has no bound. */
export const SIBLING_BOUNDS: readonly number[] = [1, 2, 4, 8, 16, 32, 64];

/** "Lately" is this long at least, and twice as long at most, milliseconds. */
export const SIBLING_WINDOW_MS: number = 5 * 60_000;

/** For so long a refused key prefix is called out once, milliseconds. */
const alarmEveryMs = 60_000;
/** Prefixes that are told apart in alarms; past it they share one. */
const prefixesMax = 16;
const prefixBytesMax = 32;

/** What a write left behind. */
export interface SiblingsWritten {
  readonly values: number;
  readonly actors: number;
  readonly rowBytes: number;
}

/** The most of something in the last minutes: that of the window under way, and of the one before. */
class Lately {
  #most = 0;
  #before = 0;
  #label = '';
  #labelBefore = '';

  note(value: number, label: string): void {
    if (value <= this.#most) return;
    this.#most = value;
    this.#label = label;
  }

  turn(isNext: boolean): void {
    this.#before = isNext ? this.#most : 0;
    this.#labelBefore = isNext ? this.#label : '';
    this.#most = 0;
    this.#label = '';
  }

  /** Whether `value` would be noted. */
  isMore(value: number): boolean {
    return value > this.#most;
  }

  get value(): number {
    return Math.max(this.#most, this.#before);
  }

  get label(): string {
    return this.#most >= this.#before ? this.#label : this.#labelBefore;
  }
}

interface Alarm {
  /** When it was raised last, monotonic milliseconds. */
  at: number;
  /** Refusals since then. */
  since: number;
}

export class SiblingWatch {
  readonly #byValues: number[] = new Array(SIBLING_BOUNDS.length + 1).fill(0);
  #valuesSum = 0;
  #windowFrom = Number.NEGATIVE_INFINITY;
  readonly #values: Lately = new Lately();
  readonly #actors: Lately = new Lately();
  readonly #rowBytes: Lately = new Lately();
  #refusedAt = Number.NEGATIVE_INFINITY;
  #refusedPrefix = '';
  #refusedWhy = '';
  readonly #alarms: Map<string, Alarm> = new Map();

  /** A row of siblings was read or is about to be updated. @param values alive in it */
  read(now: number, rowKey: RowKey, values: number): void {
    let column = 0;
    while (column < SIBLING_BOUNDS.length && values > SIBLING_BOUNDS[column]!) column++;
    this.#byValues[column]!++;
    this.#valuesSum += values;
    this.#turn(now);
    if (this.#values.isMore(values)) this.#values.note(values, prefixOf(rowKey));
  }

  /** A write left this behind. */
  written(now: number, rowKey: RowKey, { values, actors, rowBytes }: SiblingsWritten): void {
    this.#turn(now);
    if (this.#values.isMore(values)) this.#values.note(values, prefixOf(rowKey));
    if (this.#actors.isMore(actors)) this.#actors.note(actors, prefixOf(rowKey));
    this.#rowBytes.note(rowBytes, '');
  }

  /**
   * A write was refused because its key is full: an alarm, once a minute and prefix.
   * @param why a clause: what the key has too much of
   */
  refused(now: number, rowKey: RowKey, why: string, log: Log): void {
    const prefix = prefixOf(rowKey);
    this.#refusedAt = now;
    this.#refusedPrefix = prefix;
    this.#refusedWhy = why;
    const known = this.#alarms.get(prefix);
    if (known !== undefined && now - known.at < alarmEveryMs) {
      known.since++;
      return;
    }
    if (known === undefined && this.#alarms.size >= prefixesMax) {
      const [oldest, { at }] = this.#alarms.entries().next().value!;
      if (now - at < alarmEveryMs) return;
      this.#alarms.delete(oldest);
    }
    this.#alarms.delete(prefix);
    this.#alarms.set(prefix, { at: now, since: 0 });
    log.write('alarm', 'siblings-full', {
      prefix,
      why,
      ...(known === undefined || known.since === 0 ? {} : { refusedSince: known.since }),
      meaning:
        'clients write keys beginning so without the context they read; writes that add a value are refused',
    });
  }

  status(
    now: number,
    { siblingWrites, siblingsMet, siblingsRefused }: SiblingCounters,
    valuesMax: number,
  ): SiblingsStatus {
    this.#turn(now);
    return {
      reads: siblingsMet,
      writes: siblingWrites,
      refused: siblingsRefused,
      refusedAgoMs: siblingsRefused === 0 ? null : Math.round(now - this.#refusedAt),
      refusedPrefix: this.#refusedPrefix,
      refusedWhy: this.#refusedWhy,
      valuesMax,
      valuesMost: this.#values.value,
      valuesMostPrefix: this.#values.label,
      actorsMost: this.#actors.value,
      actorsMostPrefix: this.#actors.label,
      rowBytesMost: this.#rowBytes.value,
      readsByValues: [...this.#byValues],
      readsValuesSum: this.#valuesSum,
    };
  }

  #turn(now: number): void {
    const age = now - this.#windowFrom;
    if (age < SIBLING_WINDOW_MS) return;
    for (const each of [this.#values, this.#actors, this.#rowBytes]) each.turn(age < 2 * SIBLING_WINDOW_MS);
    this.#windowFrom = now;
  }
}

/** Counted in the tally. */
export interface SiblingCounters {
  readonly siblingWrites: number;
  readonly siblingsMet: number;
  readonly siblingsRefused: number;
}

/**
 * The beginning of a key, as people group them: up to the first `:` or `/`, else some characters and `…`. What is
 * not printable is shown as `?`.
 */
export function prefixOf(rowKey: RowKey): string {
  const key = rowKeyUserKey(rowKey);
  const end = key.search(/[:/]/);
  const isWhole = end >= 0 && end < prefixBytesMax;
  const shown = isWhole ? key.slice(0, end + 1) : key.slice(0, prefixBytesMax / 2);
  return shown.replace(/[^\x21-\x7e]/g, '?') + (isWhole || shown.length === key.length ? '' : '…');
}
