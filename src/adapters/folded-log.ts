/**
 * A log in which one cause raises one alarm.
 *
 * The picture: a fire in one room sets off the detectors of the whole floor. The station needs one call, and a
 * list of who else rang. A damaged table is told by the engine, the replica, the start, the comparison with the
 * peers; a row stamped too far ahead by each of a thousand writes. So here the first alarm of a cause goes
 * through. Within a minute of it others of the same cause are written as a `warn` that names the first
 * (`follows`), the same event over again is only counted, and the count is told when the minute is over
 * (`alarm-repeated`). Nothing else is touched.
 */

import type { Clock } from '../ports/clock.ts';
import type { Log, LogFields, LogLevel } from '../ports/log.ts';

/** For so long alarms of one cause are one, milliseconds. */
export const FOLD_MS = 60_000;

/** Causes that are followed at a time: past it every alarm goes through. */
const causesMax = 256;

/** Events that tell of one thing, each from where it stands. Any other is a cause of its own. */
const causeOfEvent: ReadonlyMap<string, string> = new Map([
  ['storage-failed', 'storage'],
  ['storage-failed-exit', 'storage'],
  ['storage-set-aside', 'storage'],
  ['storage-loss-found', 'storage'],
  ['disk-lost-rows', 'storage'],
]);

interface Cause {
  readonly event: string;
  readonly at: number;
  /** Alarms that were only counted, by event. */
  readonly repeated: Map<string, number>;
}

export interface FlushableLog extends Log {
  flush?(): void;
}

export class FoldedLog implements Log {
  readonly #log: FlushableLog;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #causes: Map<string, Cause> = new Map();

  constructor(log: FlushableLog, clock: Pick<Clock, 'monotonic'>) {
    this.#log = log;
    this.#clock = clock;
  }

  write(level: LogLevel, event: string, fields?: LogFields): void {
    if (this.#causes.size > 0) this.#forget(this.#clock.monotonic() - FOLD_MS);
    if (level === 'alarm') this.#alarm(event, fields);
    else this.#log.write(level, event, fields);
  }

  /** Tells what was counted so far, and writes out what is buffered: before the process ends. */
  flush(): void {
    this.#forget(Number.POSITIVE_INFINITY);
    this.#log.flush?.();
  }

  #alarm(event: string, fields: LogFields | undefined): void {
    // Of two members that give cause for alarm neither hides the other, nor of two kinds of keys.
    const name = `${causeOfEvent.get(event) ?? event} ${fields?.peer ?? fields?.target ?? fields?.prefix ?? ''}`;
    const cause = this.#causes.get(name);
    if (cause === undefined) {
      if (this.#causes.size < causesMax) {
        this.#causes.set(name, { event, at: this.#clock.monotonic(), repeated: new Map([[event, 0]]) });
      }
      this.#log.write('alarm', event, fields);
      return;
    }
    const times = cause.repeated.get(event);
    cause.repeated.set(event, (times ?? -1) + 1);
    if (times === undefined) this.#log.write('warn', event, { ...fields, follows: cause.event });
  }

  /** Causes whose first alarm was at `until` or before are over. */
  #forget(until: number): void {
    for (const [name, { at, repeated }] of this.#causes) {
      // In the order of their first alarms: those that follow are younger.
      if (at > until) return;
      this.#causes.delete(name);
      for (const [event, times] of repeated) {
        if (times > 0) this.#log.write('warn', 'alarm-repeated', { alarm: event, times, of: name.trim() });
      }
    }
  }
}
