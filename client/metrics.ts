/** What a client counts, and how long its calls took: a percentile is at most an eighth too high. */

import { Histogram } from '../src/base/histogram.ts';

/** A count of latencies by size, in milliseconds over one in microseconds. */
export class LatencyHistogram {
  readonly #counts: Histogram = new Histogram();
  #maxMs = 0;

  record(latencyMs: number): void {
    // Upwards: what is told of it is never too low.
    this.#counts.record(Math.ceil(latencyMs * 1000));
    if (latencyMs > this.#maxMs) this.#maxMs = latencyMs;
  }

  /** Milliseconds that a share of at least `share` (0 to 1) of the latencies does not exceed; 0 of none. */
  quantileMs(share: number): number {
    return Math.min(this.#counts.percentile(share) / 1000, this.#maxMs);
  }

  summary(): LatencySummary {
    return {
      count: this.#counts.total,
      p50Ms: this.quantileMs(0.5),
      p95Ms: this.quantileMs(0.95),
      p99Ms: this.quantileMs(0.99),
      maxMs: this.#maxMs,
    };
  }
}

export interface LatencySummary {
  readonly count: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Counts since the client was made. */
export interface ClientMetrics {
  /** Calls that were made to nodes (one for each operation, repetitions not counted). */
  readonly requests: number;
  /** Calls that failed, by whatever. */
  readonly failures: number;
  /** Times that a call was sent again. */
  readonly retries: number;
  /** Repetitions that were wanted and not made, because the budget was used up. */
  readonly retriesRefused: number;
  /** Requests on a key that went straight to a replica of it: no node had to pass them on. */
  readonly hopsSaved: number;
  /** Requests on a key that went to a node that, as far as is known, is no replica of it. */
  readonly hopsTaken: number;
  readonly nearHits: number;
  readonly nearMisses: number;
  /** Gets that were answered by another get of the same key that was under way. */
  readonly nearShared: number;
  readonly nearEntries: number;
  readonly nearBytes: number;
  /** Siblings that were merged and written back, and writings back that failed. */
  readonly mergesWritten: number;
  readonly mergesFailed: number;
  readonly connectionsMade: number;
  readonly connectionsLost: number;
  readonly topologyChanges: number;
  readonly callsUnderWay: number;
  readonly latency: LatencySummary;
}

/** The counters behind `ClientMetrics`. */
export class Tally {
  requests = 0;
  failures = 0;
  retries = 0;
  retriesRefused = 0;
  hopsSaved = 0;
  hopsTaken = 0;
  nearHits = 0;
  nearMisses = 0;
  nearShared = 0;
  mergesWritten = 0;
  mergesFailed = 0;
  connectionsMade = 0;
  connectionsLost = 0;
  topologyChanges = 0;
  readonly latency: LatencyHistogram = new LatencyHistogram();
}
