/**
 * The tally: counters the parts of a node raise as they go, since its start.
 */

/** Counters the parts raise as they go; `NodeFigures` shows them. */
export class Tally {
  reads = 0;
  writes = 0;
  updates = 0;
  readsShared = 0;
  forwards = 0;
  hedges = 0;
  repairsBlocking = 0;
  repairsAfter = 0;
  failuresQuorum = 0;
  failuresDeadline = 0;
  failuresOverload = 0;
  framesDamaged = 0;
  framesLate = 0;
  rowsRefusedClock = 0;
  standIns = 0;
  siblingWrites = 0;
  siblingsMet = 0;
  siblingsRefused = 0;
}
