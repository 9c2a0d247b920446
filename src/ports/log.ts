/**
 * The log port: structured events. `event` is a constant kebab-case name that people can search and
 * count; what varies goes into `fields`. `alarm` is for what an operator must act on.
 */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'alarm';

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  write(level: LogLevel, event: string, fields?: LogFields): void;
}

/** A log that forgets: for tests that do not look at it. */
export const LOG_SILENT: Log = { write: () => {} };
