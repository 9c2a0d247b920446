/**
 * Hybrid logical clock (Kulkarni, Demirbas et al. 2014): wall time that never goes back and never
 * repeats, so that "later" can be told between nodes whose clocks differ a little.
 *
 * A stamp is (time: 48-bit milliseconds, logical: 16-bit counter, actor: 48-bit id as the last tie
 * break). When the counter of one millisecond is used up, time itself is moved on by one.
 */

const logicalMax = 0xffff;

/** Time and logical counter; the actor is the clock's own. */
export interface HlcReading {
  readonly time: number;
  readonly logical: number;
}

export class Hlc {
  /** Highest time issued or observed, milliseconds. */
  time = 0;
  /** Counter within `time`. */
  logical = 0;

  /** The next reading: greater than any issued or observed before, and not behind `wall`. */
  next(wall: number): HlcReading {
    if (wall > this.time) {
      this.time = wall;
      this.logical = 0;
    } else if (this.logical < logicalMax) {
      this.logical++;
    } else {
      this.time++;
      this.logical = 0;
    }
    return { time: this.time, logical: this.logical };
  }

  /** Takes note of a reading from elsewhere, so that `next` goes above it. */
  observe(time: number, logical: number): void {
    if (time > this.time) {
      this.time = time;
      this.logical = logical;
    } else if (time === this.time && logical > this.logical) {
      this.logical = logical;
    }
  }
}
