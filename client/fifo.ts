/**
 * A queue in a ring of slots: first in, first out, without moving what is behind. Used for the requests
 * under way on a connection, whose replies come in the same order.
 */

export class Fifo<T> {
  #items: (T | undefined)[] = new Array<T | undefined>(16).fill(undefined);
  #head = 0;
  length = 0;

  push(item: T): void {
    if (this.length === this.#items.length) this.#grow();
    this.#items[(this.#head + this.length) & (this.#items.length - 1)] = item;
    this.length += 1;
  }

  /** The oldest item, which leaves the queue; undefined when it is empty. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.length -= 1;
    return item;
  }

  #grow(): void {
    const { length } = this.#items;
    const items = new Array<T | undefined>(length * 2).fill(undefined);
    for (let i = 0; i < length; i++) items[i] = this.#items[(this.#head + i) & (length - 1)];
    this.#items = items;
    this.#head = 0;
  }
}
