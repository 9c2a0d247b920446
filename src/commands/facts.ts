/**
 * What commands need to know of the world around the node: the other connections, the process, the
 * configuration, the password. The server and the composition root implement it; tests fake it.
 */

import type { Random } from '../ports/random.ts';
import type { Session } from './session.ts';

/** A parameter of CONFIG GET and CONFIG SET. `settings.ts` makes the usual kinds. */
export interface Setting {
  /** Lower case, as in redis.conf; our own begin with `dure-`. */
  readonly name: string;
  /** The value as redis.conf writes it. Secrets are masked. */
  get(): string;
  /** What is wrong with a new value, or undefined if it may be set. Left out: it cannot be changed. */
  problem?(value: string): string | undefined;
  /** Called after `problem` found nothing. */
  set?(value: string): void;
  /** Of what cannot be changed here: what changes it. */
  readonly instead?: string;
}

/** Measured figures of the process and its sockets. Counts are since start or the last RESETSTAT. */
export interface ServerFigures {
  readonly processId: number;
  readonly tcpPort: number;
  /** For example `linux x64`, and `Node.js 24.21.0`. */
  readonly platform: string;
  readonly runtime: string;
  readonly executable: string;
  readonly configFile: string;
  /** Wall time in milliseconds. */
  readonly startedAt: number;
  readonly memoryResidentBytes: number;
  readonly memoryResidentPeakBytes: number;
  readonly memoryHeapUsedBytes: number;
  readonly memoryHeapTotalBytes: number;
  /** Memory of the machine. */
  readonly memorySystemBytes: number;
  readonly cpuUserSeconds: number;
  readonly cpuSystemSeconds: number;
  readonly clientsMax: number;
  readonly connectionsReceived: number;
  readonly connectionsRejected: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Name of the storage engine, and whether data outlives the process. */
  readonly storageEngine: string;
  readonly storageDurable: boolean;
  /** `always` or `interval`. */
  readonly storageDurability: string;
  /** Ceiling of a memory engine in bytes, 0 for none, and its policy in Redis' words (`allkeys-lru`). */
  readonly storageMemoryBytesMax: number;
  readonly storageEviction: string;
}

export interface ServerFacts {
  /** Dure's own version, `0.1.0`. */
  readonly version: string;
  /** 40 hex digits that differ at each start of the process. */
  readonly runId: string;
  readonly random: Random;
  /** Whether a new connection must show a password. */
  readonly passwordRequired: boolean;
  /** The node takes no requests any more, until it is started again. */
  readonly isDraining: boolean;
  /** Whether this is the password of this user; takes the same time whatever is wrong. */
  passwordMatches(user: string, password: Uint8Array): boolean;
  /** The open connections, oldest first. */
  sessions(): Iterable<Session>;
  readonly settings: readonly Setting[];
  figures(): ServerFigures;
  /** Sets the counts of `figures` to zero. */
  resetFigures(): void;
  /**
   * Calls `check` on each tick of the server (5 to 10 ms) until it returns true. `check` is first called
   * on a later turn, never before `poll` returns.
   */
  poll(check: () => boolean): void;
}
