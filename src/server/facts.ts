/**
 * What commands may know of the process they run in: the other clients, memory and processor time, the
 * password, the settings. Everything is measured or counted when asked; nothing is made up to look like
 * Redis.
 */

import { totalmem } from 'node:os';
import type { ServerFacts, ServerFigures, Setting } from '../commands/facts.ts';
import type { Session } from '../commands/session.ts';
import type { Random } from '../ports/random.ts';
import { Password } from './password.ts';
import type { ServerStatistics } from './statistics.ts';

/** What the process knows of its storage; see `ServerFigures` for the words. */
export interface StorageFacts {
  readonly engine: string;
  readonly durable: boolean;
  readonly durability: string;
  readonly memoryBytesMax: number;
  readonly eviction: string;
}

export interface ProcessFactsOptions {
  /** Dure's own version. */
  readonly version: string;
  /** Path of the configuration file, or empty. */
  readonly configFile: string;
  readonly random: Random;
  /** Left out: clients need none. */
  readonly password?: string;
  readonly storage: StorageFacts;
}

/** What the facts take from the RESP server; `RespServer` has it. */
export interface ServerView {
  readonly port: number;
  readonly limits: { readonly clientsMax: number };
  readonly statistics: ServerStatistics;
  sessions(): Iterable<Session>;
}

/** How often waiting commands are looked at, milliseconds. */
const pollIntervalMs = 5;
/** The only user there is. */
const user = 'default';

export class ProcessFacts implements ServerFacts {
  readonly version: string;
  readonly runId: string;
  readonly random: Random;
  readonly passwordRequired: boolean;
  isDraining = false;
  settings: readonly Setting[] = [];

  readonly #options: ProcessFactsOptions;
  readonly #password: Password | undefined;
  readonly #startedAt = Date.now();
  #server: ServerView | undefined;
  #checks: (() => boolean)[] = [];
  #poller: NodeJS.Timeout | undefined;

  constructor(options: ProcessFactsOptions) {
    this.#options = options;
    this.version = options.version;
    this.random = options.random;
    this.passwordRequired = options.password !== undefined;
    this.#password = options.password === undefined ? undefined : new Password(options.password);
    let runId = '';
    for (let i = 0; i < 5; i++) runId += options.random.u32().toString(16).padStart(8, '0');
    this.runId = runId;
  }

  /** Gives it the server, which is made after the commands, which are made after this. */
  attach(server: ServerView): void {
    this.#server = server;
  }

  passwordMatches(name: string, password: Uint8Array): boolean {
    const matches = this.#password === undefined || this.#password.matches(password);
    return matches && name === user;
  }

  sessions(): Iterable<Session> {
    return this.#server?.sessions() ?? [];
  }

  figures(): ServerFigures {
    const { storage, configFile } = this.#options;
    const server = this.#server;
    const memory = process.memoryUsage();
    const usage = process.resourceUsage();
    return {
      processId: process.pid,
      tcpPort: server?.port ?? 0,
      platform: `${process.platform} ${process.arch}`,
      runtime: `Node.js ${process.versions.node}`,
      executable: process.execPath,
      configFile,
      startedAt: this.#startedAt,
      memoryResidentBytes: memory.rss,
      memoryResidentPeakBytes: usage.maxRSS * 1024,
      memoryHeapUsedBytes: memory.heapUsed,
      memoryHeapTotalBytes: memory.heapTotal,
      memorySystemBytes: totalmem(),
      cpuUserSeconds: usage.userCPUTime / 1e6,
      cpuSystemSeconds: usage.systemCPUTime / 1e6,
      clientsMax: server?.limits.clientsMax ?? 0,
      connectionsReceived: server?.statistics.connectionsReceived ?? 0,
      connectionsRejected: server?.statistics.connectionsRejected ?? 0,
      inputBytes: server?.statistics.inputBytes ?? 0,
      outputBytes: server?.statistics.outputBytes ?? 0,
      storageEngine: storage.engine,
      storageDurable: storage.durable,
      storageDurability: storage.durability,
      storageMemoryBytesMax: storage.memoryBytesMax,
      storageEviction: storage.eviction,
    };
  }

  resetFigures(): void {
    this.#server?.statistics.reset();
  }

  poll(check: () => boolean): void {
    this.#checks.push(check);
    this.#poller ??= setInterval(() => this.#runChecks(), pollIntervalMs);
  }

  /** Ends the timer; checks that still wait are forgotten. */
  close(): void {
    this.#checks = [];
    clearInterval(this.#poller);
    this.#poller = undefined;
  }

  #runChecks(): void {
    const checks = this.#checks;
    this.#checks = [];
    for (const check of checks) if (!check()) this.#checks.push(check);
    if (this.#checks.length > 0) return;
    clearInterval(this.#poller);
    this.#poller = undefined;
  }
}
