/**
 * What a micro benchmark is: a name and a loop. Each module of them exports `benchmarks`, a list; main.ts
 * times them.
 */

/** One loop to be timed. */
export interface MicroBenchmark {
  /** `part: what`. */
  readonly name: string;
  /** Does the thing at least `iterations` times (up to 15 more, if it does 16 at once). */
  run(iterations: number): void;
  /** Bytes that one iteration reads or writes, if MB/s says something. */
  readonly bytesPerIteration?: number;
}
