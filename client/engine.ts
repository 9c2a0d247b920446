/**
 * The engine: takes operations, finds a node for each, and sends again what may be sent again.
 *
 * The picture: a dispatcher's desk. A call goes to the best replica of its key that is connected, has not just
 * failed it and is not resting (`rests.ts`); without one, to any node; without any, it waits at the desk until its
 * deadline.
 *
 * What is sent again, and why that is right:
 *
 * - what was surely not sent, at once and free of charge: it burdened nobody;
 * - what a node said it did not do (`NOT_DONE` in `backoff.ts`), on another node, after a wait,
 *   within the budget;
 * - what may have been done (a connection lost after sending, `UNKNOWN`), if the operation is repeatable:
 *   reads always are; for writes see docs/client.md, "What is sent twice".
 */

import { ErrorReply, type RespValue } from '../src/resp/value.ts';
import { NOT_DONE, RetryBudget, type RetryBudgetOptions, repeatWaitMs } from './backoff.ts';
import { Call, type CallHost, type CallOptions, type Operation } from './call.ts';
import { Directory, type DirectoryOptions } from './directory.ts';
import { DureError, invalid } from './errors.ts';
import { Emitter } from './events.ts';
import type { Link } from './link.ts';
import { Tally } from './metrics.ts';
import { Rests } from './rests.ts';
import { deadlineMsMax } from './within.ts';

export interface EngineOptions {
  readonly directory: DirectoryOptions;
  readonly deadlineMs: number;
  /** Calls under way or waiting; one more is refused. */
  readonly callsMax: number;
  readonly retryBudget: RetryBudgetOptions;
  /** `any`: nodes are chosen at random, as a client without the table would. */
  readonly routing: 'replicas' | 'any';
  readonly random: () => number;
}

/** How exactly deadlines are kept. */
const deadlineTickMs = 10;
const noNodes: readonly string[] = [];

const now = (): number => performance.now();

export class Engine implements CallHost {
  readonly emitter: Emitter = new Emitter();
  readonly tally: Tally = new Tally();
  readonly #options: EngineOptions;
  readonly #budget: RetryBudget;
  readonly #directory: Directory;
  readonly #rests: Rests = new Rests();
  readonly #calls: Set<Call<unknown>> = new Set();
  /** Calls for which there is no node at present. */
  readonly #waiting: Set<Call<unknown>> = new Set();
  #deadlineTimer: NodeJS.Timeout | undefined;
  #refusal: DureError | undefined;
  #closed = false;
  /** A connection had no room for the call that is being dispatched. */
  #isFull = false;
  /** Told once when the last call under way has ended. */
  #idle: (() => void) | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#budget = new RetryBudget(options.retryBudget);
    this.#directory = new Directory(options.directory, this.emitter, this.tally, {
      available: () => this.#available(),
      refused: (code, reason) => this.#refused(code, reason),
    });
  }

  /** Of a call that brings none of its own. */
  get deadlineMs(): number {
    return this.#options.deadlineMs;
  }

  /** Whether the cluster's policy of a key is a strict one, as far as is known. */
  isStrict(key: string): boolean {
    return this.#directory.policies?.isStrict(key) === true;
  }

  get callsUnderWay(): number {
    return this.#calls.size;
  }

  /** Resolves when a node is connected, and the table and the policies are known. */
  async connected(): Promise<void> {
    const deadline = now() + this.#options.deadlineMs;
    const directory = this.#directory;
    while (!directory.hasReady || directory.topology === undefined || directory.policies === undefined) {
      if (this.#refusal !== undefined) throw this.#refusal;
      if (now() > deadline) throw this.#unreachable('no node could be reached');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Makes a call. The promise is rejected with a `DureError`, and with nothing else. */
  call<T>(operation: Operation<T>, options: CallOptions | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const outcome = operation.isWrite ? 'fail' : 'none';
      const signal = options?.signal;
      const deadlineMs = options?.deadlineMs ?? this.#options.deadlineMs;
      if (typeof deadlineMs !== 'number' || !(deadlineMs <= deadlineMsMax)) {
        reject(invalid(`deadlineMs is a number of milliseconds up to ${deadlineMsMax}`));
      } else if (this.#closed) {
        reject(new DureError('closed', outcome, false, 'the client is closed'));
      } else if (signal?.aborted === true) {
        reject(
          new DureError('aborted', outcome, false, 'the call was aborted before it began', signal.reason),
        );
      } else if (deadlineMs <= 0) {
        const message = 'the deadline of the call passed before anything was sent';
        reject(new DureError('deadline-exceeded', outcome, true, message));
      } else if (this.#calls.size >= this.#options.callsMax) {
        const message = `${this.#calls.size} calls are under way or waiting; nothing was sent; try again later`;
        reject(new DureError('overloaded', outcome, true, message));
      } else {
        const startedAt = now();
        const times = { startedAt, deadlineAt: startedAt + deadlineMs };
        const call = new Call(operation, times, signal, this, resolve, reject);
        this.tally.requests += 1;
        this.#budget.deposit();
        this.#calls.add(call as Call<unknown>);
        this.#watchDeadlines();
        this.#dispatch(call as Call<unknown>);
      }
    });
  }

  /** No new calls; those under way have `graceMs` to end. */
  async close(graceMs: number): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      if (this.#calls.size > 0 && graceMs > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, graceMs);
          this.#idle = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    }
    for (const call of [...this.#calls]) call.fail('closed', false, 'the client was closed');
    clearInterval(this.#deadlineTimer);
    this.#directory.close();
  }

  // What calls report.

  replied(call: Call<unknown>, reply: RespValue): void {
    if (reply instanceof ErrorReply) {
      this.#refusedBy(call, reply);
      return;
    }
    let value: unknown;
    try {
      value = call.operation.read(reply);
    } catch (error) {
      call.failWith(
        error instanceof DureError
          ? error
          : new DureError('codec', call.outcome, false, `the value cannot be read: ${error}`, error),
      );
      return;
    }
    call.succeed(value);
  }

  lost(call: Call<unknown>, sent: boolean, reason: string): void {
    const { node } = call;
    call.lastProblem = `connection to ${node} lost: ${reason}`;
    call.tried.push(node);
    if (!sent) {
      // It costs nobody anything: the attempt does not count.
      call.attempts -= 1;
      this.#dispatch(call);
    } else if (call.operation.isWrite && !call.operation.isRepeatable) {
      call.fail('connection-lost', false, 'the connection was lost after the request was sent');
    } else this.#again(call, 'connection-lost', 'the connection was lost', call.attempts === 1);
  }

  settled(call: Call<unknown>, error: DureError | undefined): void {
    this.#calls.delete(call);
    this.#waiting.delete(call);
    if (error !== undefined) this.tally.failures += 1;
    else this.tally.latency.record(now() - call.startedAt);
    if (this.#calls.size === 0) this.#idle?.();
  }

  #refusedBy(call: Call<unknown>, { code, text }: ErrorReply): void {
    if (code === 'UNKNOWN') call.mayBeApplied = true;
    const mayRepeat = code === 'UNKNOWN' && (call.operation.isRepeatable || !call.operation.isWrite);
    if (!NOT_DONE.has(code) && !mayRepeat) {
      call.fail(code, code === 'OOM', text);
      return;
    }
    call.lastProblem = text;
    call.tried.push(call.node);
    if (NOT_DONE.has(code)) this.#rests.refused(call.node, now());
    this.#directory.refresh();
    this.#again(call, code, text, false);
  }

  /** Sends a call once more, if attempts, budget and deadline allow it. */
  #again(call: Call<unknown>, code: string, message: string, isAtOnce: boolean): void {
    if (call.attempts >= this.#budget.attemptsMax) {
      call.fail(code, true, `${message} (after ${call.attempts} attempts)`);
      return;
    }
    if (!this.#budget.withdraw()) {
      this.tally.retriesRefused += 1;
      call.fail(code, true, `${message} (the budget of repetitions is used up)`);
      return;
    }
    this.tally.retries += 1;
    const round = call.attempts - 1;
    const delayMs = isAtOnce ? 0 : repeatWaitMs(round, this.#options.random);
    if (this.emitter.has('retry')) {
      this.emitter.emit('retry', { attempt: call.attempts + 1, code, node: call.node, delayMs });
    }
    if (isAtOnce) this.#dispatch(call);
    else setTimeout(() => this.#dispatch(call), delayMs);
  }

  /** Hands a call to a connection, or lets it wait. */
  #dispatch(call: Call<unknown>): void {
    if (call.settled) return;
    this.#waiting.delete(call);
    this.#isFull = false;
    if (this.#sendToFresh(call)) return;
    if (call.tried.length > 0) {
      // All that can be reached have failed it once: the round begins anew.
      call.tried.length = 0;
      if (this.#sendToFresh(call)) return;
    }
    if (this.#isFull) {
      call.fail('overloaded', true, 'the connections have as many requests as they may; try again later');
    } else this.#waiting.add(call);
  }

  /** Tries the nodes that have not failed the call: those that are not resting first. */
  #sendToFresh(call: Call<unknown>): boolean {
    if (this.#rests.isEmpty) return this.#sendToAny(call, undefined);
    const time = now();
    return (
      this.#sendToAny(call, (node) => !this.#rests.isResting(node, time)) ||
      this.#sendToAny(call, (node) => this.#rests.isResting(node, time))
    );
  }

  /** Tries replicas in their order, then any node. */
  #sendToAny(call: Call<unknown>, isWanted: ((node: string) => boolean) | undefined): boolean {
    const { slot } = call.operation;
    const directory = this.#directory;
    const replicas = slot < 0 ? noNodes : (directory.topology?.nodesOf(slot) ?? noNodes);
    if (this.#options.routing === 'replicas') {
      for (const address of replicas) {
        if (isWanted?.(address) === false) continue;
        if (this.#send(call, directory.link(address), true)) return true;
      }
    }
    const { links } = directory;
    const start = Math.floor(this.#options.random() * links.length);
    for (let i = 0; i < links.length; i++) {
      const link = links[(start + i) % links.length]!;
      if (isWanted?.(link.address) === false) continue;
      if (this.#send(call, link, replicas.includes(link.address))) return true;
    }
    return false;
  }

  #send(call: Call<unknown>, link: Link | undefined, isReplica: boolean): boolean {
    if (link === undefined || call.tried.includes(link.address)) return false;
    const connection = link.connection();
    if (connection === undefined) return false;
    // Before it is sent, since the connection may break while it takes the call.
    call.node = link.address;
    if (!connection.send(call)) {
      this.#isFull = true;
      return false;
    }
    call.attempts += 1;
    if (call.operation.slot >= 0) this.tally[isReplica ? 'hopsSaved' : 'hopsTaken'] += 1;
    return true;
  }

  #available(): void {
    for (const call of [...this.#waiting]) this.#dispatch(call);
  }

  #refused(code: string, reason: string): void {
    const message = `${reason} (nodes: ${this.#options.directory.seeds.join(', ')})`;
    this.#refusal ??= new DureError(code, 'none', false, message);
  }

  #unreachable(what: string): DureError {
    const { problems } = this.#directory;
    if (problems.size === 0) {
      return new DureError('unreachable', 'none', true, `${what} within the deadline (no answer yet)`);
    }
    // What the system says ends with the address, which stands before it already.
    const lines = [...problems].map(([node, problem]) => `${node}: ${problem.replace(` ${node}`, '')}`);
    const why = `${lines.slice(0, 8).join('; ')}); are the nodes up, and are these their Redis ports?`;
    return new DureError('unreachable', 'none', true, `${what} within the deadline (${why}`);
  }

  #watchDeadlines(): void {
    this.#deadlineTimer ??= setInterval(() => {
      const time = now();
      for (const call of this.#calls) {
        if (time < call.deadlineAt) continue;
        if (this.#waiting.has(call) && !call.mayBeApplied) {
          const { message } = this.#unreachable('no node could be reached');
          call.fail('unreachable', true, message);
        } else call.fail('deadline-exceeded', true, 'the deadline of the call passed');
      }
      if (this.#calls.size > 0) return;
      clearInterval(this.#deadlineTimer);
      this.#deadlineTimer = undefined;
    }, deadlineTickMs);
  }
}
