/**
 * A seeded pseudo-random generator: sfc32 (Chris Doty-Humphrey, PractRand).
 *
 * Where a run must be repeatable (simulation, property tests, placement), randomness comes from here
 * and from one seed. It is not for secrets.
 */

const u32 = 0x1_0000_0000;

export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** Two runs with the same `seed` (any integer below 2^53) give the same numbers. */
  constructor(seed: number) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / u32) >>> 0;
    this.#c = 0x9e3779b9;
    for (let i = 0; i < 15; i++) this.u32();
  }

  /** An integer in [0, 2^32). */
  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  /** A number in [0, 1) with 32 random bits. */
  unit(): number {
    return this.u32() / u32;
  }

  /** An integer in [0, bound), for a bound up to 2^32. */
  below(bound: number): number {
    return Math.floor(this.unit() * bound);
  }

  /** An integer in [low, high], both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with the given probability (0 to 1). */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** One of the items, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** A generator of its own, so that one part drawing more does not change what another draws. */
  fork(): Prng {
    return new Prng(this.u32() * 0x20_0000 + (this.u32() >>> 11));
  }
}
