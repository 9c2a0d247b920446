/** A space of an embedded node: what every space can do, and a look at what lies in this process. */

import type { Codec } from '../client/codec.ts';
import type { Consistency } from '../client/consistency.ts';
import { DureError } from '../client/errors.ts';
import { Space, type SpaceOptions } from '../client/space.ts';
import type { LocalStore } from './local-store.ts';

/** What `peek` found: `value` is undefined for no such key. */
export interface Peeked<T> {
  readonly value: T | undefined;
}

const oneReplica: readonly string[] = ['R=1', 'W=1', 'SLOPPY'];

export class LocalSpace<T> extends Space<T> {
  readonly #store: LocalStore;
  readonly #codec: Codec<T>;

  constructor(store: LocalStore, prefix: string, options: SpaceOptions<T>, consistency?: Consistency) {
    super(store, undefined, prefix, options, consistency);
    this.#store = store;
    this.#codec = options.codec;
  }

  /**
   * What the replica in this process holds of a key, at once: the answer that a get with R=1 would give here,
   * whatever the policy of the key. It may be older than an acknowledged write.
   *
   * @returns undefined when this replica cannot tell: the node holds no replica of the key, a write of it is not
   *   durable yet, it has siblings, or the node does not vouch for what it holds; then use `get`
   */
  peek(key: string): Peeked<T> | undefined {
    const bytes = this.#store.peek(oneReplica, this.prefix + key);
    if (bytes === undefined) return undefined;
    if (bytes === null) return { value: undefined };
    try {
      return { value: this.#codec.decode(bytes) };
    } catch (error) {
      throw new DureError('codec', 'none', false, `the value cannot be decoded: ${error}`, error);
    }
  }
}
