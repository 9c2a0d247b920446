/**
 * What a client counts, and how long its calls took. Latencies fall into buckets that grow by an eighth,
 * so a percentile is at most 12.5 % too high, and recording one is an addition.
 */

const subBuckets = 8;
/** Up to 2^32 µs, above an hour. */
const bucketCount = 32 * subBuckets;

/** A count of latencies by size. */
export class LatencyHistogram {
  readonly #counts: Float64Array = new Float64Array(bucketCount);
  #total = 0;
  #maxMs = 0;

  record(latencyMs: number): void {
    const value = Math.min(Math.max(latencyMs * 1000, 0), 2 ** 31 - 1) | 0;
    const shift = value < 2 * subBuckets ? 0 : 28 - Math.clz32(value);
    this.#counts[shift * subBuckets + (value >>> shift)]! += 1;
    this.#total += 1;
    if (latencyMs > this.#maxMs) this.#maxMs = latencyMs;
  }

  /** Milliseconds that a share of at least `share` (0 to 1) of the latencies does not exceed; 0 of none. */
  quantileMs(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.#total));
    let seen = 0;
    for (let index = 0; index < bucketCount; index++) {
      seen += this.#counts[index]!;
      if (seen >= wanted) return Math.min(upperEdge(index) / 1000, this.#maxMs);
    }
    return this.#maxMs;
  }

  summary(): LatencySummary {
    return {
      count: this.#total,
      p50Ms: this.quantileMs(0.5),
      p95Ms: this.quantileMs(0.95),
      p99Ms: this.quantileMs(0.99),
      maxMs: this.#maxMs,
    };
  }
}

function upperEdge(index: number): number {
  if (index < 2 * subBuckets) return index + 1;
  const shift = Math.floor(index / subBuckets) - 1;
  return (index - shift * subBuckets + 1) * 2 ** shift;
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
