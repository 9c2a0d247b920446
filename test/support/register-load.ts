/**
 * Workers that read and write a few keys, each value written once, and remember what they were told: histories
 * for the judge of registers (`test/nemesis/judge.ts`).
 *
 * A closed loop: a worker has one request under way. It chooses a key and a node anew for each, so one worker
 * reads through one node what it wrote through another, and sends nothing twice.
 */

import { Prng } from '../../src/base/prng.ts';
import type { Answer, Client } from '../nemesis/clients.ts';
import type { Op } from '../nemesis/history.ts';
import { delay } from './wait.ts';

/** A request without an answer for so long counts as one of unknown outcome. */
const deadlineMs = 1000;
/** Between two requests of a worker. */
const pauseMs = 10;

export class RegisterLoad {
  readonly history: Op[] = [];
  readonly #clients: readonly Client[];
  readonly #keys: readonly string[];
  readonly #prng: Prng;
  readonly #origin = performance.now();
  #workers: Promise<void>[] = [];
  #stop = false;

  constructor(seed: number, clients: readonly Client[], keys: readonly string[]) {
    this.#prng = new Prng(seed);
    this.#clients = clients;
    this.#keys = keys;
  }

  begin(workers: number): void {
    this.#workers = Array.from({ length: workers }, () => this.#work());
  }

  async end(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#workers);
  }

  async #work(): Promise<void> {
    while (!this.#stop) {
      const client = this.#prng.pick(this.#clients);
      if (client.isUp()) await this.request(client, this.#prng.pick(this.#keys), this.#prng.chance(0.4));
      await delay(pauseMs);
    }
  }

  /** One request, recorded: a write of a new value, or a read. */
  async request(client: Client, key: string, isWrite: boolean): Promise<Op> {
    const value = isWrite ? `v${this.history.length}.` : '';
    const at = performance.now() - this.#origin;
    const kind = isWrite ? 'write' : 'read';
    const op: Op = {
      ...{ id: this.history.length, group: 'strict', key, kind, value, client: client.name, at },
      ...{ end: Number.NaN, outcome: 'pending', code: '', seen: null, removed: false },
      expireAt: Number.POSITIVE_INFINITY,
    };
    this.history.push(op);
    const answer = await sendOnce(client, isWrite ? ['SET', key, value] : ['GET', key]);
    op.end = performance.now() - this.#origin;
    op.outcome = answer.outcome;
    op.code = answer.code;
    if (!isWrite && answer.outcome === 'ok' && answer.value !== null) op.seen = String(answer.value);
    return op;
  }
}

function sendOnce(client: Client, words: readonly string[]): Promise<Answer> {
  return new Promise((done) => {
    const late: Answer = { outcome: 'unknown', code: 'deadline', value: null };
    const timer = setTimeout(() => done(late), deadlineMs);
    client.send(words, (answer) => {
      clearTimeout(timer);
      done(answer);
    });
  });
}
