/**
 * The clock port: the two times a node needs, so that simulation can bend both.
 */

export interface Clock {
  /** Wall time: milliseconds since 1970, an integer. May jump either way. For stamps and TTLs only. */
  wall(): number;
  /** Milliseconds since an arbitrary start; never goes back. For deadlines, timeouts and rates. */
  monotonic(): number;
  /** `monotonic` as it was when somebody last asked, at most about a tick ago: for ages in seconds. */
  coarse?(): number;
}
