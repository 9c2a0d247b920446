/**
 * Statistics: how often each command ran, how long it took, how often it failed: for INFO commandstats.
 * Plain arrays by command number, since they are written for every command.
 */

/** The first calls of a command are all timed, then one in so many. */
const timedFirst = 64;
const timedEach = 8;

/** Counters since start or the last reset. */
export class Statistics {
  readonly calls: Float64Array;
  /** Refused before they ran: wrong number of arguments, no password. */
  readonly rejected: Float64Array;
  /** Ran and answered with an error. */
  readonly failed: Float64Array;
  readonly #timed: Float64Array;
  readonly #milliseconds: Float64Array;
  commandsProcessed = 0;
  errorReplies = 0;
  keyspaceHits = 0;
  keyspaceMisses = 0;
  /** By first word of the reply. Bounded: the words are our own. */
  readonly errorsByCode: Map<string, number> = new Map<string, number>();
  /** Rate over about the last second; see `sampleRate`. */
  operationsPerSecond = 0;
  #sampledAt = 0;
  #sampledCount = 0;

  /** @param commandCount how many commands the table has. */
  constructor(commandCount: number) {
    this.calls = new Float64Array(commandCount);
    this.rejected = new Float64Array(commandCount);
    this.failed = new Float64Array(commandCount);
    this.#timed = new Float64Array(commandCount);
    this.#milliseconds = new Float64Array(commandCount);
  }

  /** Whether the next call that is counted is one to be timed. */
  isTimedNext(index: number): boolean {
    const count = this.calls[index]! + 1;
    return count <= timedFirst || count % timedEach === 0;
  }

  /** Counts a call; true if it is one to be timed. Looking at the clock costs more than counting. */
  countCall(index: number): boolean {
    const timed = this.isTimedNext(index);
    this.calls[index]!++;
    return timed;
  }

  /** Notes how long a call took from start to reply, with the quorum's answer waited for. */
  noteTime(index: number, milliseconds: number): void {
    this.#timed[index]!++;
    this.#milliseconds[index]! += milliseconds;
  }

  /** The mean time of the timed calls, milliseconds; 0 before the first. */
  meanMilliseconds(index: number): number {
    const timed = this.#timed[index]!;
    return timed === 0 ? 0 : this.#milliseconds[index]! / timed;
  }

  /** An error reply with this first word was given. */
  noteError(code: string): void {
    this.errorReplies++;
    this.errorsByCode.set(code, (this.errorsByCode.get(code) ?? 0) + 1);
  }

  /** Called about once a second by the server, with monotonic time, to measure the rate of commands. */
  sampleRate(now: number): void {
    const elapsed = now - this.#sampledAt;
    if (elapsed <= 0) return;
    this.operationsPerSecond = Math.round(((this.commandsProcessed - this.#sampledCount) * 1000) / elapsed);
    this.#sampledAt = now;
    this.#sampledCount = this.commandsProcessed;
  }

  reset(): void {
    this.calls.fill(0);
    this.rejected.fill(0);
    this.failed.fill(0);
    this.#timed.fill(0);
    this.#milliseconds.fill(0);
    this.commandsProcessed = 0;
    this.errorReplies = 0;
    this.keyspaceHits = 0;
    this.keyspaceMisses = 0;
    this.errorsByCode.clear();
    this.#sampledCount = 0;
  }
}
