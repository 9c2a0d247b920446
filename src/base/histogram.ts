/**
 * A latency histogram that costs a few machine instructions a record and never allocates.
 *
 * The picture to have in mind: a ruler whose marks are eight to each doubling, from one microsecond to
 * about an hour. A value is counted at its mark, so a percentile read back is at most one part in eight
 * above the truth, at any size. This is the bucket scheme of HdrHistogram (Gil Tene) with three bits.
 */

/** Sub-buckets a doubling: 2^3. */
const detailBits = 3;
const detail = 1 << detailBits;
const valueMax = 2 ** 32 - 1;
const bucketCount = (32 - detailBits + 1) * detail;

/** Counts whole microseconds, 0 to 2^32 - 1; what is larger counts as that. */
export class Histogram {
  readonly #counts: Float64Array = new Float64Array(bucketCount);
  #total = 0;
  #sum = 0;
  #max = 0;

  /** Counts `times` values of `microseconds`. A negative value (no clock should give one) counts as 0. */
  record(microseconds: number, times = 1): void {
    const value = microseconds < 0 ? 0 : microseconds > valueMax ? valueMax : Math.floor(microseconds);
    this.#counts[bucketOf(value)]! += times;
    this.#total += times;
    this.#sum += value * times;
    if (value > this.#max) this.#max = value;
  }

  /** How many values were counted. */
  get total(): number {
    return this.#total;
  }

  /** The sum of all of them, microseconds. */
  get sum(): number {
    return this.#sum;
  }

  /** The largest, microseconds; exact. */
  get max(): number {
    return this.#max;
  }

  /**
   * The value that the share `quantile` (0 to 1) of the values does not exceed, microseconds, rounded up
   * to its mark but never above the largest seen; 0 when nothing was counted.
   */
  percentile(quantile: number): number {
    if (this.#total === 0) return 0;
    const rank = Math.max(1, Math.ceil(quantile * this.#total));
    let seen = 0;
    for (let i = 0; i < bucketCount; i++) {
      seen += this.#counts[i]!;
      if (seen >= rank) return Math.min(bucketEnd(i), this.#max);
    }
    return this.#max;
  }

  /** How many values are surely not above `microseconds`: for cumulative buckets of a metrics page. */
  countUpTo(microseconds: number): number {
    let seen = 0;
    for (let i = 0; i < bucketCount && bucketEnd(i) <= microseconds; i++) seen += this.#counts[i]!;
    return seen;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#sum = 0;
    this.#max = 0;
  }
}

function bucketOf(value: number): number {
  if (value < detail) return value;
  const shift = 31 - Math.clz32(value) - detailBits;
  return (shift + 1) * detail + ((value >>> shift) & (detail - 1));
}

/** The largest value counted at bucket `index`. */
function bucketEnd(index: number): number {
  if (index < detail) return index;
  const shift = Math.floor(index / detail) - 1;
  return (detail + (index % detail) + 1) * 2 ** shift - 1;
}
