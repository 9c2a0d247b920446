/**
 * Latencies, counted in buckets that grow with the value, as HdrHistogram does it.
 *
 * The picture to have in mind: below 256 µs each microsecond has its own bucket; above, each power of
 * two is cut in 128, so a quantile is at most 0.8 % off however large it is. Recording is one array
 * increment, so that measuring does not cost what is measured. Histograms of several workers add up.
 */

const subBuckets = 128;
const bucketCount = 26 * subBuckets;

/** What a run's latencies come to, in microseconds. */
export interface Latency {
  readonly meanUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maxUs: number;
}

export class Histogram {
  readonly counts: Float64Array = new Float64Array(bucketCount);
  total = 0;
  sumUs = 0;
  maxUs = 0;

  /** @param valueUs a latency in microseconds, from 0 to about an hour */
  record(valueUs: number): void {
    const value = valueUs < 0 ? 0 : Math.min(valueUs, 2 ** 28 - 1) | 0;
    const shift = value < 2 * subBuckets ? 0 : 24 - Math.clz32(value);
    this.counts[shift * subBuckets + (value >>> shift)]! += 1;
    this.total += 1;
    this.sumUs += value;
    if (value > this.maxUs) this.maxUs = value;
  }

  /** The least value that a share of at least `share` (0 to 1) of the recorded ones does not exceed. */
  quantile(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.total));
    let seen = 0;
    for (let index = 0; index < bucketCount; index += 1) {
      seen += this.counts[index]!;
      if (seen >= wanted) return Math.min(upperEdge(index), this.maxUs);
    }
    return this.maxUs;
  }

  latency(): Latency {
    return {
      meanUs: this.total === 0 ? 0 : this.sumUs / this.total,
      p50Us: this.quantile(0.5),
      p99Us: this.quantile(0.99),
      p999Us: this.quantile(0.999),
      maxUs: this.maxUs,
    };
  }
}

function upperEdge(index: number): number {
  if (index < 2 * subBuckets) return index;
  const shift = Math.floor(index / subBuckets) - 1;
  return (index - shift * subBuckets + 1) * 2 ** shift - 1;
}
