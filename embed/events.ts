/** What an embedded node tells the application, and how it is taken from what a node writes to its log. */

import type { Emitter } from '../client/events.ts';
import type { Log, LogFields, LogLevel } from '../src/ports/log.ts';

/** The events of a node and what comes with them. */
export interface NodeEvents {
  /** Its storage failed: every call is rejected from now on, and the node leaves the cluster. Told once. */
  failed: { readonly reason: string };
  /** Requests are sent to a member again (`live`), or no longer. */
  member: { readonly id: string; readonly live: boolean; readonly reason: string };
  /** Something that a person must act on; docs/operations.md has the list. */
  alarm: { readonly event: string; readonly fields: LogFields };
  /** It is closed: nothing of it is left. Told once. */
  closed: { readonly reason: string };
}

/** A log that passes everything on, and tells listeners what is an event. */
export class EventLog implements Log {
  readonly #log: Log;
  readonly #emitter: Emitter<NodeEvents>;

  constructor(log: Log, emitter: Emitter<NodeEvents>) {
    this.#log = log;
    this.#emitter = emitter;
  }

  write(level: LogLevel, event: string, fields: LogFields = {}): void {
    this.#log.write(level, event, fields);
    if (level === 'alarm') this.#tell('alarm', { event, fields });
    if (event === 'peer-live' || event === 'peer-lost') {
      const live = event === 'peer-live';
      this.#tell('member', {
        id: String(fields.peer),
        live,
        reason: String(fields.reason ?? ''),
      });
    }
  }

  /** Afterwards: the node is in the middle of something now, and a listener may call it. */
  #tell<K extends keyof NodeEvents>(name: K, event: NodeEvents[K]): void {
    queueMicrotask(() => this.#emitter.emit(name, event));
  }
}
