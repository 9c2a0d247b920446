/**
 * Watches who sees whom live, as an operator would: it asks every node for its members several times a
 * second and notes when a view changed. From that come the times of detection and recovery.
 */

import type { NemesisNode } from './cluster.ts';
import { liveSeenBy } from './cluster.ts';

const pollMs = 100;

export class Watch {
  readonly #nodes: readonly NemesisNode[];
  readonly #now: () => number;
  /** Per node, whom it saw live when it was asked last; empty when it did not answer. */
  readonly #views: Set<string>[];
  #stopped = false;
  readonly #waiting: Set<() => void> = new Set();
  #loops: Promise<void>[] = [];

  constructor(nodes: readonly NemesisNode[], now: () => number) {
    this.#nodes = nodes;
    this.#now = now;
    this.#views = nodes.map(() => new Set(nodes.map(({ name }) => name)));
  }

  begin(): void {
    this.#loops = this.#nodes.map((node) => this.#poll(node));
  }

  async end(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
    for (const wake of this.#waiting) wake();
  }

  async #poll(node: NemesisNode): Promise<void> {
    while (!this.#stopped) {
      this.#views[node.index] = await liveSeenBy(node);
      for (const wake of this.#waiting) wake();
      await new Promise((next) => setTimeout(next, pollMs));
    }
  }

  /** Whether `observer` answers and sees `node` live. */
  sees(observer: number, node: number): boolean {
    return this.#views[observer]!.has(this.#nodes[node]!.name);
  }

  answers(observer: number): boolean {
    return this.#views[observer]!.size > 0;
  }

  /** When the condition first held, from now on; undefined if not before `until` says so or the end. */
  async when(condition: () => boolean, until: () => boolean): Promise<number | undefined> {
    while (!this.#stopped) {
      if (condition()) return this.#now();
      if (until()) return undefined;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
    return undefined;
  }
}
