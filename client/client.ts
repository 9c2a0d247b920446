/**
 * The client: connects to a cluster and is the space of all keys. Everything hard is elsewhere (`engine.ts`
 * sends, `directory.ts` knows the nodes, `space.ts` speaks of values); this file puts it together.
 */

import { jsonCodec } from './codec.ts';
import type { Consistency } from './consistency.ts';
import { Engine } from './engine.ts';
import type { ClientEvents, Listener } from './events.ts';
import type { ClientMetrics } from './metrics.ts';
import { checkNames, SPACE_NAMES } from './names.ts';
import { NearCache } from './near-cache.ts';
import { type ConnectOptions, checkNearCache, engineOptionsOf } from './options.ts';
import { RemoteStore } from './remote-store.ts';
import { Space, type SpaceOptions } from './space.ts';
import type { Store } from './store.ts';

export interface CloseOptions {
  /** How long calls under way have to end, milliseconds; then they fail with `closed`. Default 1000. */
  readonly graceMs?: number | undefined;
}

export class Client<T> extends Space<T> {
  readonly #engine: Engine;
  readonly #store: Store;
  readonly #near: NearCache | undefined;
  /** What was said on the connections. */
  readonly #consistency: Consistency | undefined;
  readonly #defaults: SpaceOptions<T>;

  /** Use `connect`. */
  constructor(
    engine: Engine,
    near: NearCache | undefined,
    consistency: Consistency | undefined,
    options: SpaceOptions<T>,
  ) {
    const store = new RemoteStore(engine);
    super(store, near, '', options, consistency);
    this.#consistency = consistency;
    this.#store = store;
    this.#engine = engine;
    this.#near = near;
    this.#defaults = options;
  }

  /**
   * The keys that begin with `prefix`, with a type of their own. What `options` leave out is as in the
   * client, but for the codec, which is JSON, the resolver and the TTL, of which there is none.
   */
  space<U>(prefix: string, options: Partial<SpaceOptions<U>> = {}): Space<U> {
    checkNames(options, SPACE_NAMES);
    const own: SpaceOptions<U> = {
      codec: options.codec ?? jsonCodec<U>(),
      merge: options.merge,
      consistency: options.consistency,
      ttlMs: options.ttlMs,
      repeatWrites: options.repeatWrites ?? this.#defaults.repeatWrites,
    };
    return new Space<U>(this.#store, this.#near, prefix, own, this.#consistency);
  }

  /** Listens to an event. @returns a function that ends it */
  on<K extends keyof ClientEvents>(name: K, listener: Listener<ClientEvents[K]>): () => void {
    return this.#engine.emitter.on(name, listener);
  }

  /** What was counted since the client was made. */
  metrics(): ClientMetrics {
    const { latency, ...counts } = this.#engine.tally;
    return {
      ...counts,
      nearEntries: this.#near?.entries ?? 0,
      nearBytes: this.#near?.bytes ?? 0,
      callsUnderWay: this.#engine.callsUnderWay,
      latency: latency.summary(),
    };
  }

  /** Closes all connections, after the calls under way have ended. No calls can be made any more. */
  async close({ graceMs = 1000 }: CloseOptions = {}): Promise<void> {
    await this.#engine.close(graceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Connects to a cluster, through whichever of `nodes` answers first.
 *
 * @throws DureError `unreachable` when none answers within the deadline, `WRONGPASS` or `NOAUTH` for the
 *   password, `invalid` for options that cannot be used
 */
export async function connect<T = unknown>(options: ConnectOptions<T>): Promise<Client<T>> {
  const engineOptions = engineOptionsOf(options);
  const near =
    options.nearCache === undefined
      ? undefined
      : new NearCache(checkNearCache(options.nearCache), () => performance.now());
  const engine = new Engine(engineOptions);
  try {
    await engine.connected();
  } catch (error) {
    await engine.close(0);
    throw error;
  }
  // The consistency of the client is said on its connections, and need not be said with each operation.
  return new Client<T>(engine, near, options.consistency, {
    codec: options.codec ?? jsonCodec<T>(),
    merge: options.merge,
    repeatWrites: options.repeatWrites,
  });
}
