/**
 * The log port on pino: one JSON object a line for machines, or a coloured line for a person at a
 * terminal.
 *
 * An `alarm` is an error with `alarm: true`, so that a rule in a log system can find it. Lines are
 * written synchronously: Dure logs events, not requests, and the last lines before a crash are the
 * ones that matter.
 */

import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import type { Log, LogFields, LogLevel } from '../ports/log.ts';

export type LogFormat = 'auto' | 'json' | 'pretty';
export type LogLevelMin = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface PinoLogOptions {
  readonly level: LogLevelMin;
  /** `auto`: pretty when the output is a terminal, JSON otherwise. */
  readonly format: LogFormat;
  /** Stands in every line, as `node`. */
  readonly nodeId: string;
  /** File descriptor to write to; 1 (standard output) if left out. */
  readonly descriptor?: number;
  /** Colours in pretty lines; by default when the output is a terminal. */
  readonly colors?: boolean;
}

export class PinoLog implements Log {
  readonly #logger: Logger;
  readonly #stream: DestinationStream;

  private constructor(logger: Logger, stream: DestinationStream) {
    this.#logger = logger;
    this.#stream = stream;
  }

  static async open(options: PinoLogOptions): Promise<PinoLog> {
    const descriptor = options.descriptor ?? 1;
    const terminal = process.stdout.isTTY === true && descriptor === 1;
    const pretty = options.format === 'pretty' || (options.format === 'auto' && terminal);
    const file = pino.destination({ dest: descriptor, sync: true });
    // The reader of the output may go away before this process does: that is no reason to crash.
    file.on('error', () => {});
    const stream = pretty ? await prettyStream(file, options.colors ?? terminal) : file;
    const base = pretty ? undefined : { node: options.nodeId };
    const logger = pino(
      {
        level: options.level,
        base: base ?? null,
        messageKey: 'event',
        timestamp: stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      stream,
    );
    return new PinoLog(logger, file);
  }

  write(level: LogLevel, event: string, fields: LogFields = {}): void {
    if (level === 'alarm') this.#logger.error({ ...fields, alarm: true }, event);
    else this.#logger[level](fields, event);
  }

  /** Writes out what is buffered: before the process ends. */
  flush(): void {
    (this.#stream as { flushSync?: () => void }).flushSync?.();
  }
}

async function prettyStream(destination: DestinationStream, colorize: boolean): Promise<DestinationStream> {
  // Loaded only where somebody looks.
  const { default: pretty } = await import('pino-pretty');
  return pretty({
    destination: destination as unknown as NodeJS.WritableStream,
    sync: true,
    colorize,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname,node',
    messageKey: 'event',
  });
}
