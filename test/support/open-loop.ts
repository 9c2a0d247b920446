/**
 * An open-loop load: requests leave at a rate, whether earlier ones were answered or not, as those of many people
 * do. Half of them write a key of their own, half read one that was written.
 */

import { Redis } from 'ioredis';

const pulseMs = 10;
/** Requests under way at most; beyond, they are counted as not sent. */
const inFlightMax = 2000;
const timeoutMs = 10_000;

export class OpenLoop {
  /** Requests a second, from now on. */
  rate = 0;
  sent = 0;
  answered = 0;
  unsent = 0;
  readonly failures: string[] = [];
  /** Numbers of keys whose write was acknowledged. */
  readonly acknowledged: number[] = [];
  readonly #clients: readonly Redis[];
  readonly #timer: NodeJS.Timeout;
  #due = 0;
  #pulseAt: number = performance.now();
  #inFlight = 0;

  constructor(ports: readonly number[], host: string = '127.0.0.1') {
    this.#clients = ports.map((port) => new Redis({ host, port, commandTimeout: timeoutMs }));
    for (const client of this.#clients) client.on('error', () => {});
    this.#timer = setInterval(() => this.#pulse(), pulseMs);
  }

  static keyOf(number: number): string {
    return `load:${number}`;
  }

  /** Sends nothing more, and waits for the answers. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    const deadline = performance.now() + timeoutMs + 1000;
    while (this.#inFlight > 0 && performance.now() < deadline)
      await new Promise((next) => setTimeout(next, 20));
  }

  /** How many of the acknowledged writes cannot be read any more. */
  async lost(): Promise<number> {
    let lost = 0;
    for (let from = 0; from < this.acknowledged.length; from += 1000) {
      const numbers = this.acknowledged.slice(from, from + 1000);
      const values = await this.#clients[0]!.mget(numbers.map(OpenLoop.keyOf));
      lost += values.filter((value, i) => value !== `${numbers[i]}`).length;
    }
    return lost;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const client of this.#clients) client.disconnect();
  }

  #pulse(): void {
    const now = performance.now();
    // After a stall of this process the load goes on; it does not catch up all at once.
    this.#due += (Math.min(now - this.#pulseAt, 500) / 1000) * this.rate;
    this.#pulseAt = now;
    for (; this.#due >= 1; this.#due--) this.#send();
  }

  #send(): void {
    const number = this.sent++;
    if (this.#inFlight >= inFlightMax) {
      this.unsent++;
      return;
    }
    this.#inFlight++;
    const client = this.#clients[number % this.#clients.length]!;
    const isWrite = number % 2 === 0 || this.acknowledged.length === 0;
    const read = this.acknowledged[(number * 7919) % Math.max(1, this.acknowledged.length)] ?? 0;
    const done = isWrite
      ? client.set(OpenLoop.keyOf(number), `${number}`).then(() => this.acknowledged.push(number))
      : client.get(OpenLoop.keyOf(read));
    done
      .then(() => this.answered++)
      .catch((error: Error) => this.failures.push(error.message))
      .finally(() => this.#inFlight--);
  }
}
