/**
 * The connections to one node, dialled again after a loss. The picture: a line to a branch office that is
 * restored by itself, at first soon and then more patiently.
 */

import { fullJitterMs } from './backoff.ts';
import { Connection, type ConnectionLimits, type Handshake } from './connection.ts';
import type { Dial } from './socket.ts';
import { splitAddress } from './topology.ts';

export interface LinkEvents {
  ready(link: Link): void;
  /** A connection that was ready is gone, or one could not be made. */
  lost(link: Link, reason: string, code: string | undefined, wasReady: boolean): void;
}

export interface LinkOptions {
  readonly dial: Dial;
  readonly handshake: Handshake;
  readonly limits: ConnectionLimits;
  readonly connections: number;
  readonly random: () => number;
}

const redialBaseMs = 20;
const redialLimitMs = 2000;

export class Link {
  /** `host:port`. */
  readonly address: string;
  readonly host: string;
  readonly #port: number;
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #ready: Connection[] = [];
  readonly #all: Set<Connection> = new Set();
  readonly #timers: Set<NodeJS.Timeout> = new Set();
  /** Dials in a row that came to nothing. */
  #failures = 0;
  #closed = false;

  constructor(address: string, options: LinkOptions, events: LinkEvents) {
    const { host, port } = splitAddress(address)!;
    this.address = address;
    this.host = host;
    this.#port = port;
    this.#options = options;
    this.#events = events;
    for (let i = 0; i < options.connections; i++) this.#dial();
  }

  /** The ready connection with the least under way. */
  connection(): Connection | undefined {
    const ready = this.#ready;
    let best = ready[0];
    for (let i = 1; i < ready.length; i++) if (ready[i]!.load < best!.load) best = ready[i];
    return best;
  }

  get isReady(): boolean {
    return this.#ready.length > 0;
  }

  /** Whether it was closed, and does not dial again. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Requests on all its connections. */
  get load(): number {
    let load = 0;
    for (const connection of this.#ready) load += connection.load;
    return load;
  }

  check(time: number): void {
    for (const connection of [...this.#all]) connection.check(time);
  }

  close(reason: string): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const connection of [...this.#all]) connection.close(reason);
  }

  #dial(): void {
    const { dial, handshake, limits } = this.#options;
    const connection = new Connection(dial, this.host, this.#port, handshake, limits, {
      ready: (made) => {
        this.#failures = 0;
        this.#ready.push(made);
        this.#events.ready(this);
      },
      closed: (gone, reason, code) => {
        this.#all.delete(gone);
        const at = this.#ready.indexOf(gone);
        if (at >= 0) this.#ready.splice(at, 1);
        else this.#failures += 1;
        if (!this.#closed) this.#dialLater();
        this.#events.lost(this, reason, code, at >= 0);
      },
    });
    this.#all.add(connection);
  }

  #dialLater(): void {
    const delayMs = fullJitterMs(this.#failures, redialBaseMs, redialLimitMs, this.#options.random);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#dial();
    }, delayMs);
    this.#timers.add(timer);
  }
}
