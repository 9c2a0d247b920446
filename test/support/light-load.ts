/**
 * A light load on nodes that come and go: a client a port writes a key, reads it back, rests for some milliseconds, and
 * keeps what it heard. It repeats nothing, so every error of a node is seen.
 */

import { Redis } from 'ioredis';
import { delay } from './wait.ts';

const keysEach = 200;
const restMs = 5;

/** A client that gives up at the first error. */
export function plainRedis(port: number): Redis {
  const client = new Redis({ host: '127.0.0.1', port, retryStrategy: null, maxRetriesPerRequest: 0 });
  client.on('error', () => {});
  return client;
}

export class LightLoad {
  /** The last acknowledged value of each key. */
  readonly acknowledged: Map<string, string> = new Map();
  readonly failures: string[] = [];
  operations = 0;
  #isOver = false;
  readonly #done: Promise<unknown>;

  constructor(ports: readonly number[]) {
    this.#done = Promise.all(ports.map((port) => this.#work(port)));
  }

  async #work(port: number): Promise<void> {
    const client = plainRedis(port);
    for (let i = 0; !this.#isOver; i++) {
      const key = `load:${port}:${i % keysEach}`;
      const value = `${i}`;
      try {
        await client.set(key, value);
        this.acknowledged.set(key, value);
        const read = await client.get(key);
        if (read !== value) this.failures.push(`${key} is ${read}, and ${value} was acknowledged`);
      } catch (error) {
        this.failures.push(`${key}: ${(error as Error).message}`);
      }
      this.operations++;
      await delay(restMs);
    }
    client.disconnect();
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#done;
  }
}
