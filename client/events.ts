/**
 * What a client (or an embedded node) tells its owner: a typed list of listeners an event. A listener that throws
 * harms neither the client nor the other listeners: its error surfaces as an uncaught one.
 */

/** The events of a client and what comes with them. */
export interface ClientEvents {
  /** A connection to a node is ready. `node` is `host:port`, here and below. */
  connected: { readonly node: string };
  /** A connection to a node was lost or given up. */
  disconnected: { readonly node: string; readonly reason: string };
  /** The table of slots changed; `nodes` are those that serve some. */
  topology: { readonly nodes: readonly string[] };
  /** A call is made again: for the `attempt`-th time (2 is the first repetition), after `delayMs`. */
  retry: { readonly attempt: number; readonly code: string; readonly node: string; readonly delayMs: number };
}

export type Listener<E> = (event: E) => void;

export class Emitter<Events = ClientEvents> {
  readonly #listeners: Map<keyof Events, Set<Listener<never>>> = new Map();

  /** @returns a function that takes the listener off again. */
  on<K extends keyof Events>(name: K, listener: Listener<Events[K]>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  has(name: keyof Events): boolean {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }

  emit<K extends keyof Events>(name: K, event: Events[K]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        (listener as Listener<Events[K]>)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
