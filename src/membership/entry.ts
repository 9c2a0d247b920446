/**
 * An entry of the membership list: what the cluster says about one member, and the one rule by which two
 * versions of it become one.
 *
 * The picture: a noticeboard in every village, copied by travellers. A notice has the number of the life
 * it is about (*incarnation*, which only that member itself raises: at each start, and to contradict a
 * rumour), what is said of it (*status*), and how far its own voice was heard (*counter*). A newer life
 * wins whole. Within a life the worse rumour wins (SWIM: Das, Gupta and Motivala, 2002), so that only the
 * member itself can clear its name; and the greater counter brings the newer facts.
 *
 * Merging is a join: in any order, any number of times, the same end; nothing old ever returns.
 */

/** What is said of a member, the worse the greater. */
export type Status = 0 | 1 | 2 | 3;

export const STATUS_ALIVE = 0;
/** Silent, and nobody asked could confirm that it lives. */
export const STATUS_SUSPECT = 1;
/** Suspected for so long that it is taken for dead. It may still come back. */
export const STATUS_DOWN = 2;
/** It said goodbye. */
export const STATUS_LEFT = 3;

export const STATUS_NAMES: readonly ['alive', 'suspect', 'down', 'left'] = [
  'alive',
  'suspect',
  'down',
  'left',
];

/** What a member tells about itself; it raises its counter whenever it says something new. */
export interface Facts {
  /** The topology it knows, durably. */
  readonly epoch: number;
  /** The greatest epoch for which it has done all it had to do (`src/topology/topology.ts`), durably. */
  readonly settledEpoch: number;
  /** It lost data and is being rebuilt since this time, milliseconds since 1970; 0 while it is whole. */
  readonly rebuildingSince: number;
  /** "I hold no hint, and will accept none, stamped at or below this time": milliseconds since 1970. */
  readonly hintFloor: number;
}

export class Entry {
  /** The member's life: 48 bits, the process start above 2^16, refutations below. */
  incarnation = 0;
  status: Status = STATUS_ALIVE;
  /** Raised by the member itself each round: 32 bits, begins at 0 with each incarnation. */
  counter = 0;
  epoch = 0;
  settledEpoch = 0;
  rebuildingSince = 0;
  hintFloor = 0;
}

/** What a merge changed, as bits. */
export const CHANGED_NOTHING = 0;
/** The member was heard further than before: a sign of life. */
export const CHANGED_COUNTER = 1;
/** Status or incarnation: news that travels first. */
export const CHANGED_STATUS = 2;

/**
 * Merges `from` into `into`. Commutative, associative and idempotent over entries of one member.
 * @param oldWins a mutant: the entry that came last wins, whatever its incarnation.
 * @returns what changed in `into`, as CHANGED bits.
 */
export function mergeEntry(into: Entry, from: Entry, oldWins = false): number {
  if (from.incarnation !== into.incarnation) {
    if (from.incarnation < into.incarnation && !oldWins) return CHANGED_NOTHING;
    copyEntry(into, from);
    return CHANGED_STATUS | CHANGED_COUNTER;
  }
  let changed = CHANGED_NOTHING;
  if (from.status > into.status) {
    into.status = from.status;
    changed = CHANGED_STATUS;
  }
  if (from.counter > into.counter) {
    into.counter = from.counter;
    into.epoch = from.epoch;
    into.settledEpoch = from.settledEpoch;
    into.rebuildingSince = from.rebuildingSince;
    into.hintFloor = from.hintFloor;
    return changed | CHANGED_COUNTER;
  }
  if (from.counter === into.counter) {
    // Never different, if the member keeps to its word; if it does not, all still agree in the end.
    into.epoch = Math.max(into.epoch, from.epoch);
    into.settledEpoch = Math.max(into.settledEpoch, from.settledEpoch);
    into.rebuildingSince = Math.max(into.rebuildingSince, from.rebuildingSince);
    into.hintFloor = Math.max(into.hintFloor, from.hintFloor);
  }
  return changed;
}

export function copyEntry(into: Entry, from: Entry): void {
  into.incarnation = from.incarnation;
  into.status = from.status;
  into.counter = from.counter;
  into.epoch = from.epoch;
  into.settledEpoch = from.settledEpoch;
  into.rebuildingSince = from.rebuildingSince;
  into.hintFloor = from.hintFloor;
}

/** Refutations within one start of the process. */
const refutationsPerStart = 0x1_0000;

/** The incarnation of the next start, above every one of the start before. */
export function incarnationOfStart(last: number): number {
  return (Math.floor(last / refutationsPerStart) + 1) * refutationsPerStart;
}

/** Incarnations reach so far: 2^31 starts. A greater one is nonsense and is not taken from the wire. */
export const INCARNATION_MAX: number = 2 ** 47;
