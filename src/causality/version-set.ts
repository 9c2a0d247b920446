/**
 * Version sets: the values of one key that nobody has overwritten yet, and a summary of all that were
 * (dotted version vector sets: Preguiça, Baquero, Almeida, Fonte, Gonçalves, "Brief Announcement: Efficient
 * Causality Tracking in Distributed Storage Systems With Dotted Version Vectors", PODC 2012; Riak's `dvvset`).
 *
 * The picture: a notice board with a guest book. Each note on the board (a *sibling*) bears its own number, a
 * *dot*: who wrote it, and which of his it is. The guest book (the *version vector*) has one line a writer: the
 * last of his notes that ever hung here. A note of somebody else's board that is not on ours, and that our guest
 * book has a later line for, was taken down here: it stays down. A note beyond our book is news: it goes up.
 * Whoever writes shows the guest book he has read (the *context*): the notes it covers are taken down, and those
 * he has not seen stay up, beside his.
 *
 * What this rests on: a writer that hangs up a note has all his earlier ones of this key on his board or crossed
 * off in his book. Who may have forgotten one must write under a new name (`src/node/sibling-composer.ts`).
 *
 * A key may also have been written under `last-write-wins`, before its policy was changed or by a request that
 * says so. Such writes are one *register*: the greatest of them is a note like any other, except that it takes
 * down all that was written before it by the clock, as such writes do.
 *
 * `merge` is a least upper bound: commutative, associative, idempotent.
 */

/** A write: its dot (actor, counter), unique for ever, and its clock reading. Readings of an actor go upwards. */
export interface WriteEvent {
  readonly time: number;
  readonly logical: number;
  readonly actor: number;
  readonly counter: number;
}

/** A value that nobody has overwritten. */
export interface Sibling<V> {
  readonly event: WriteEvent;
  readonly value: V;
}

/** The greatest last-write-wins write. `sibling` is undefined once that was a delete or is overwritten. */
export interface Register<V> {
  readonly event: WriteEvent;
  /** Of a delete by expiry: when; else 0. Milliseconds. */
  readonly expireAt: number;
  readonly value: V | undefined;
}

/** What a reader has seen: the newest write of each actor, by actor upwards, and of the register. */
export interface CausalContext {
  readonly vector: readonly WriteEvent[];
  readonly register: WriteEvent | undefined;
}

export interface VersionSet<V> {
  /** By actor, upwards. None of them is before the register by the clock. */
  readonly vector: readonly WriteEvent[];
  readonly register: Register<V> | undefined;
  /** By actor and counter, upwards. */
  readonly siblings: readonly Sibling<V>[];
}

export const CONTEXT_NONE: CausalContext = { vector: [], register: undefined };

export function emptySet<V>(): VersionSet<V> {
  return { vector: [], register: undefined, siblings: [] };
}

/** Order of writes by their clocks: time, logical counter, actor, counter. The order of row stamps. */
export function compareEvents(a: WriteEvent, b: WriteEvent): number {
  return a.time - b.time || a.logical - b.logical || a.actor - b.actor || a.counter - b.counter;
}

function compareDots(a: WriteEvent, b: WriteEvent): number {
  return a.actor - b.actor || a.counter - b.counter;
}

/** Whether a vector has the write, or a later one of its actor. */
export function covers(vector: readonly WriteEvent[], event: WriteEvent): boolean {
  const entry = entryOf(vector, event.actor);
  return entry !== undefined && entry.counter >= event.counter;
}

export function entryOf(vector: readonly WriteEvent[], actor: number): WriteEvent | undefined {
  return vector.find((entry) => entry.actor === actor);
}

/** The later of two vectors, actor by actor. */
export function mergeVectors(a: readonly WriteEvent[], b: readonly WriteEvent[]): readonly WriteEvent[] {
  const merged: WriteEvent[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const left = a[i];
    const right = b[j];
    if (right === undefined || (left !== undefined && left.actor < right.actor)) {
      merged.push(left!);
      i++;
    } else if (left === undefined || right.actor < left.actor) {
      merged.push(right);
      j++;
    } else {
      merged.push(left.counter >= right.counter ? left : right);
      i++;
      j++;
    }
  }
  return merged;
}

function mergeRegisters<V>(a: Register<V> | undefined, b: Register<V> | undefined): Register<V> | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const order = compareEvents(a.event, b.event);
  if (order !== 0) return order > 0 ? a : b;
  // One write, known in two states: overwritten is more than there, and of that by what, the later time.
  if (a.value !== undefined || b.value !== undefined) return a.value === undefined ? a : b;
  return a.expireAt >= b.expireAt ? a : b;
}

/**
 * The lines of a guest book that say anything beside a register: what is before it by the clock is dead by it, whoever
 * wrote it. Without this a merge would keep such lines or not by the order in which boards met.
 */
function prunedBy<V>(
  vector: readonly WriteEvent[],
  register: Register<V> | undefined,
): readonly WriteEvent[] {
  if (register === undefined) return vector;
  const isDead = (entry: WriteEvent): boolean => compareEvents(entry, register.event) < 0;
  return vector.some(isDead) ? vector.filter((entry) => !isDead(entry)) : vector;
}

/** What both boards together know. */
export function mergeSets<V>(a: VersionSet<V>, b: VersionSet<V>): VersionSet<V> {
  const register = mergeRegisters(a.register, b.register);
  const siblings: Sibling<V>[] = [];
  const lives = (sibling: Sibling<V>, other: VersionSet<V>): boolean => {
    if (register !== undefined && compareEvents(sibling.event, register.event) < 0) return false;
    return hasDot(other, sibling.event) || !covers(other.vector, sibling.event);
  };
  for (const sibling of a.siblings) if (lives(sibling, b)) siblings.push(sibling);
  for (const sibling of b.siblings) {
    if (!hasDot(a, sibling.event) && lives(sibling, a)) siblings.push(sibling);
  }
  siblings.sort((left, right) => compareDots(left.event, right.event));
  return { vector: prunedBy(mergeVectors(a.vector, b.vector), register), register, siblings };
}

function hasDot<V>(set: VersionSet<V>, event: WriteEvent): boolean {
  return set.siblings.some((sibling) => compareDots(sibling.event, event) === 0);
}

/** All that a reader of the set has seen. */
export function contextOf<V>(set: VersionSet<V>): CausalContext {
  return { vector: set.vector, register: set.register?.event };
}

/**
 * A write by `event` of somebody who had seen `context`: what he saw goes, what he did not see stays beside it.
 * The event must be new: not covered by the set's vector, and later by the clock than its register and `context`.
 *
 * @param value undefined for a delete
 */
export function writeInto<V>(
  set: VersionSet<V>,
  context: CausalContext,
  event: WriteEvent,
  value: V | undefined,
): VersionSet<V> {
  const seen: VersionSet<V> = {
    vector: context.vector,
    register:
      context.register === undefined ? undefined : { event: context.register, expireAt: 0, value: undefined },
    siblings: [],
  };
  const { vector, register, siblings } = mergeSets(set, seen);
  const written = value === undefined ? [] : [{ event, value }];
  return {
    vector: mergeVectors(vector, [event]),
    register,
    siblings: [...siblings, ...written].sort((a, b) => compareDots(a.event, b.event)),
  };
}

/** The set without the values that `isDead` says are dead: they stay covered, so they do not come back. */
export function withoutDead<V>(
  set: VersionSet<V>,
  isDead: (event: WriteEvent, value: V) => boolean,
): VersionSet<V> {
  const siblings = set.siblings.filter(({ event, value }) => !isDead(event, value));
  let { register } = set;
  if (register?.value !== undefined && isDead(register.event, register.value)) {
    register = { ...register, value: undefined };
  }
  if (register === set.register && siblings.length === set.siblings.length) return set;
  return { vector: set.vector, register, siblings };
}

/** The values, the register's included, newest first by their clocks. */
export function versionsOf<V>(set: VersionSet<V>): Sibling<V>[] {
  const versions = [...set.siblings];
  const { register } = set;
  if (register?.value !== undefined) versions.push({ event: register.event, value: register.value });
  return versions.sort((a, b) => compareEvents(b.event, a.event));
}
