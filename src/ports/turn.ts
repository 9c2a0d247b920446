/**
 * The turn port. A turn of the event loop is a batch: everything that arrived together is handled,
 * then the node commits once, and writes once to each peer. A node that has something to flush calls
 * `wake`; whoever drives the node then calls its `endTurn` when the inputs at hand are used up.
 */

export interface Turn {
  /** Asks for `endTurn` soon. May be called any number of times within a turn; it is cheap. */
  wake(): void;

  /**
   * How late the latest tick came, milliseconds: as long as that a request waits behind other work of this process, or
   * for a core. Absent: never late.
   */
  readonly lateMs?: number;
}
