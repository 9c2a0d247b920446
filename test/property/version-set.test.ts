/**
 * Version sets against a model that knows everything. In the model each write carries the whole set of writes
 * before it, by name; a board then shows exactly the writes that are in nobody's past. Several replicas write, under
 * their own names, blindly or with any earlier context, delete, write under last-write-wins, lend a stand-in, and
 * are merged in any order; after every step each of them shows what the model says. The same once more with each set
 * stored as a row and read back, and with contexts as the bytes a client holds. Merges that are wrong in one
 * place are shown to be caught.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { byteString, bytesOf, equalBytes } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import {
  type CausalContext,
  CONTEXT_NONE,
  compareEvents,
  contextOf,
  covers,
  emptySet,
  mergeSets,
  mergeVectors,
  versionsOf,
  type WriteEvent,
  withoutDead,
  writeInto,
} from '../../src/causality/version-set.ts';
import { decodeContext, encodeContext } from '../../src/rows/context.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { mergeRows } from '../../src/rows/merge.ts';
import {
  compareRowStamps,
  encodeRow,
  isRowIntact,
  KIND_STRING,
  type Row,
  rowStamp,
  rowTime,
} from '../../src/rows/row.ts';
import {
  isMade,
  isSiblingsRow,
  type RowVersions,
  rowOfVersions,
  rowOldestTime,
  type Version,
  versionsOfRow,
} from '../../src/rows/siblings.ts';

const rowKey = rowKeyOf('cart');
const replicaCount = 3;

type Merge = (a: RowVersions, b: RowVersions) => RowVersions;

/** What happens, drawn at random. Indices are taken modulo what there is. */
interface Step {
  readonly kind:
    | 'write'
    | 'delete'
    | 'plain'
    | 'plain-delete'
    | 'read'
    | 'sync'
    | 'stand-in'
    | 'lend'
    | 'return';
  readonly at: number;
  readonly other: number;
  /** Which of the contexts read so far; 0 for none. */
  readonly context: number;
}

const kinds: readonly Step['kind'][] = [
  'write',
  'write',
  'write',
  'delete',
  'plain',
  'plain-delete',
  'read',
  'read',
  'sync',
  'sync',
  'stand-in',
  'lend',
  'return',
];

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record(
    {
      kind: fc.constantFrom(...kinds),
      at: fc.nat(replicaCount - 1),
      other: fc.nat(replicaCount - 1),
      context: fc.nat(12),
    },
    { noNullPrototype: true },
  ),
  { minLength: 1, maxLength: 40 },
);

/** A write as the model knows it. */
interface Known {
  readonly event: WriteEvent;
  readonly name: string;
  readonly isPlain: boolean;
  readonly isDelete: boolean;
  /** Names of all writes before it. */
  readonly past: ReadonlySet<string>;
}

/** Somebody who holds a set: a replica, or a stand-in's hint. */
class Holder {
  set: RowVersions = emptySet();
  /** Names of all writes it has heard of. */
  known: ReadonlySet<string> = new Set();
}

interface Ticket {
  readonly context: CausalContext;
  readonly known: ReadonlySet<string>;
}

class World {
  readonly replicas: readonly Holder[] = Array.from({ length: replicaCount }, () => new Holder());
  hint = new Holder();
  readonly tickets: Ticket[] = [{ context: CONTEXT_NONE, known: new Set() }];
  readonly writes: Map<string, Known> = new Map();
  readonly #merge: Merge;
  readonly #throughRows: boolean;
  readonly #counters: number[] = Array.from({ length: replicaCount }, () => 0);
  #standIns = 0;

  constructor(merge: Merge, throughRows: boolean) {
    this.#merge = merge;
    this.#throughRows = throughRows;
  }

  play(step: Step): void {
    const at = this.replicas[step.at]!;
    const ticket = this.tickets[step.context % this.tickets.length]!;
    if (step.kind === 'write' || step.kind === 'delete') this.#write(step, at, ticket, step.at + 1);
    else if (step.kind === 'plain' || step.kind === 'plain-delete') this.#plain(step, at);
    else if (step.kind === 'stand-in') {
      // A name of its own for each write: see `sibling-composer.ts`.
      this.#write(step, this.hint, ticket, 100 + this.#standIns++);
    } else if (step.kind === 'lend') this.#sync(at, this.hint);
    else if (step.kind === 'return') {
      this.#sync(this.hint, at);
      this.hint = new Holder();
    } else if (step.kind === 'sync') this.#sync(at, this.replicas[step.other]!);
    else this.#read(at);
  }

  #read(at: Holder): void {
    let context = contextOf(at.set);
    if (this.#throughRows) context = decodeContext(rowKey, encodeContext(rowKey, at.set), 1e12);
    this.tickets.push({ context, known: at.known });
  }

  /** A clock reading above all that a holder has seen: the hybrid clock's rule, with a stuck wall clock. */
  #eventAt(holder: Holder, seen: CausalContext, actor: number, skew: number): WriteEvent {
    let time = 1000 + skew;
    const { register } = holder.set;
    const heard = [...holder.set.vector, ...seen.vector];
    for (const event of [register?.event, seen.register]) if (event !== undefined) heard.push(event);
    for (const event of heard) time = Math.max(time, event.time + (event.actor % 2));
    const logical = heard.reduce(
      (most, event) => Math.max(most, event.time === time ? event.logical + 1 : 0),
      0,
    );
    const counter = actor <= replicaCount ? ++this.#counters[actor - 1]! : 1;
    return { time, logical, actor, counter };
  }

  #write({ kind, other }: Step, holder: Holder, ticket: Ticket, actor: number): void {
    const event = this.#eventAt(holder, ticket.context, actor, other);
    const name = `w${this.writes.size}`;
    const isDelete = kind === 'delete';
    this.writes.set(name, { event, name, isPlain: false, isDelete, past: ticket.known });
    const value: Version = { kind: KIND_STRING, value: bytesOf(name), expireAt: 0 };
    holder.known = new Set([...holder.known, ...ticket.known, name]);
    holder.set = this.#stored(writeInto(holder.set, ticket.context, event, isDelete ? undefined : value));
  }

  /** A write under last-write-wins: it knows nothing, and ends all that is before it by the clock. */
  #plain({ kind, other }: Step, holder: Holder): void {
    const event = this.#eventAt(new Holder(), CONTEXT_NONE, 50 + this.writes.size, other * 2);
    const name = `w${this.writes.size}`;
    const isDelete = kind === 'plain-delete';
    this.writes.set(name, { event, name, isPlain: true, isDelete, past: new Set() });
    const value: Version = { kind: KIND_STRING, value: bytesOf(name), expireAt: 0 };
    const register = { event, expireAt: 0, value: isDelete ? undefined : value };
    holder.known = new Set([...holder.known, name]);
    holder.set = this.#stored(mergeSets(holder.set, { vector: [], register, siblings: [] }));
  }

  #sync(from: Holder, to: Holder): void {
    to.known = new Set([...from.known, ...to.known]);
    to.set = this.#stored(this.#merge(to.set, from.set));
  }

  #stored(set: RowVersions): RowVersions {
    if (!this.#throughRows) return set;
    const row = rowOfVersions(rowKey, set);
    return row === undefined ? set : versionsOfRow(row);
  }

  /** The names a holder must show: what nobody it has heard of has seen, and no later plain write has ended. */
  expected(holder: Holder): string[] {
    const heard = [...holder.known].map((name) => this.writes.get(name)!);
    const alive = heard.filter(({ event, name, isDelete }) => {
      if (isDelete || heard.some(({ past }) => past.has(name))) return false;
      return !heard.some((other) => other.isPlain && compareEvents(other.event, event) > 0);
    });
    return alive.map(({ name }) => name).sort();
  }
}

function shown(set: RowVersions): string[] {
  return versionsOf(set)
    .map(({ value }) => byteString(value.value))
    .sort();
}

/** Plays a story; after each step every holder shows what the model says, and at the end all of them alike. */
function playAll(story: readonly Step[], merge: Merge, throughRows: boolean): World {
  const world = new World(merge, throughRows);
  const check = (): void => {
    for (const holder of [...world.replicas, world.hint]) {
      assert.deepEqual(shown(holder.set), world.expected(holder));
    }
  };
  for (const step of story) {
    world.play(step);
    check();
  }
  world.play({ kind: 'return', at: 0, other: 0, context: 0 });
  for (let round = 0; round < 2; round++) {
    for (let at = 0; at < replicaCount; at++) {
      for (let other = 0; other < replicaCount; other++) world.play({ kind: 'sync', at, other, context: 0 });
    }
  }
  check();
  const [first] = world.replicas;
  for (const { set } of world.replicas) assert.deepEqual(set, first!.set);
  return world;
}

/** Three sets that stories can bring about. */
const reachable: fc.Arbitrary<[RowVersions, RowVersions, RowVersions]> = steps.map((story) => {
  const world = new World(mergeSets, false);
  for (const step of story) world.play(step);
  const [a, b, c] = world.replicas;
  return [a!.set, b!.set, c!.set];
});

describe('version sets', () => {
  test('after every step a set shows what is in nobody’s past', () => {
    fc.assert(
      fc.property(steps, (story) => void playAll(story, mergeSets, false)),
      { numRuns: 1500 },
    );
  });

  test('the same through rows, and contexts as bytes', () => {
    const merge: Merge = (a, b) => {
      const [left, right] = [rowOfVersions(rowKey, a), rowOfVersions(rowKey, b)];
      if (left === undefined || right === undefined) return left === undefined ? b : a;
      return versionsOfRow(mergeRows(rowKey, left, right));
    };
    fc.assert(
      fc.property(steps, (story) => void playAll(story, merge, true)),
      { numRuns: 1500 },
    );
  });

  test('merge is commutative, associative and idempotent', () => {
    fc.assert(
      fc.property(reachable, ([a, b, c]) => {
        assert.deepEqual(mergeSets(a, b), mergeSets(b, a));
        assert.deepEqual(mergeSets(mergeSets(a, b), c), mergeSets(a, mergeSets(b, c)));
        assert.deepEqual(mergeSets(a, a), a);
        const both = mergeSets(a, b);
        assert.deepEqual(mergeSets(both, a), both);
      }),
      { numRuns: 1500 },
    );
  });

  test('it is so too for a register that expired on one board, was overwritten on another, and lives on a third', () => {
    const worn = (set: RowVersions, how: number): RowVersions => {
      const { register } = set;
      if (register?.value === undefined) return set;
      const expireAt = register.event.time + 5;
      const living = { ...set, register: { ...register, expireAt, value: { ...register.value, expireAt } } };
      if (how === 0) return living;
      if (how === 1) return withoutDead(living, (event) => event === register.event);
      const seen = { event: register.event, expireAt: 0, value: undefined };
      return mergeSets(living, { vector: [], register: seen, siblings: [] });
    };
    const hows = fc.tuple(fc.nat(2), fc.nat(2), fc.nat(2));
    fc.assert(
      fc.property(reachable, hows, (sets, how) => {
        const [a, b, c] = sets.map((set, i) => worn(set, how[i]!)) as [RowVersions, RowVersions, RowVersions];
        assert.deepEqual(mergeSets(a, b), mergeSets(b, a));
        assert.deepEqual(mergeSets(mergeSets(a, b), c), mergeSets(a, mergeSets(b, c)));
        const both = mergeSets(a, b);
        assert.deepEqual(mergeSets(both, a), both);
      }),
      { numRuns: 1500 },
    );
  });

  test('a write is covered, replaces what it saw, and leaves the rest', () => {
    fc.assert(
      fc.property(reachable, fc.boolean(), ([a, b], isDelete) => {
        const heard = [...a.vector, ...b.vector, a.register?.event, b.register?.event];
        const time = heard.reduce((most, event) => Math.max(most, event?.time ?? 0), 0) + 1;
        const event: WriteEvent = { time, logical: 0, actor: 777, counter: 1 };
        const value: Version = { kind: KIND_STRING, value: bytesOf('new'), expireAt: 0 };
        const after = writeInto(a, contextOf(b), event, isDelete ? undefined : value);
        assert.ok(covers(after.vector, event));
        for (const entry of [...a.vector, ...b.vector]) {
          const isEnded = after.register !== undefined && compareEvents(entry, after.register.event) < 0;
          assert.ok(covers(after.vector, entry) || isEnded);
        }
        assert.equal(shown(after).includes('new'), !isDelete);
        // What both hold it has seen; what only `a` holds and `b` does not cover it has not.
        const kept = shown(
          mergeSets(
            a,
            withoutDead(b, () => true),
          ),
        );
        assert.deepEqual(
          shown(after).filter((name) => name !== 'new'),
          kept,
        );
        // Whoever merges it with what it was made of has it as it is.
        assert.deepEqual(mergeSets(after, a), after);
      }),
    );
  });

  test('what is dead stays covered and does not come back', () => {
    fc.assert(
      fc.property(reachable, fc.nat(3), ([a, b], odd) => {
        const merged = mergeSets(a, b);
        const living = withoutDead(merged, ({ counter }) => counter % 3 === odd);
        const again = mergeSets(living, a);
        assert.deepEqual(shown(again), shown(living));
      }),
    );
  });

  const mutants: readonly [string, Merge][] = [
    [
      'keeps what was overwritten (union only)',
      (a, b) => {
        const merged = mergeSets(a, b);
        const all = [...a.siblings, ...b.siblings].filter(
          ({ event }, i, list) => list.findIndex((one) => compareEvents(one.event, event) === 0) === i,
        );
        return { ...merged, siblings: all };
      },
    ],
    [
      'drops what the other does not hold',
      (a, b) => {
        const merged = mergeSets(a, b);
        const held = (set: RowVersions, event: WriteEvent): boolean =>
          set.siblings.some((one) => compareEvents(one.event, event) === 0);
        return {
          ...merged,
          siblings: merged.siblings.filter(({ event }) => held(a, event) && held(b, event)),
        };
      },
    ],
    ['takes the one with the longer book', (a, b) => (a.vector.length >= b.vector.length ? a : b)],
    [
      'forgets the register',
      (a, b) => mergeSets(a.siblings.length > 0 ? { ...a, register: undefined } : a, b),
    ],
    [
      'lets an overwritten register live',
      (a, b) => ({ ...mergeSets(a, b), register: a.register ?? b.register }),
    ],
    [
      'forgets whom it has read',
      (a, b) => {
        const merged = mergeSets(a, b);
        const living = new Set(merged.siblings.map(({ event }) => event.actor));
        return { ...merged, vector: merged.vector.filter(({ actor }) => living.has(actor)) };
      },
    ],
  ];
  for (const [name, merge] of mutants) {
    test(`a merge that ${name} is caught`, () => {
      const details = fc.check(
        fc.property(steps, (story) => void playAll(story, merge, false)),
        { numRuns: 2000, seed: 7 },
      );
      assert.ok(details.failed, 'no story tells it from the right one');
    });
  }

  test('an actor that forgot what it wrote hides it: why it must take another name', () => {
    const value = (name: string): Version => ({ kind: KIND_STRING, value: bytesOf(name), expireAt: 0 });
    const first = writeInto<Version>(
      emptySet(),
      CONTEXT_NONE,
      { time: 1, logical: 0, actor: 9, counter: 1 },
      value('a'),
    );
    const forgot = (actor: number): RowVersions =>
      writeInto<Version>(emptySet(), CONTEXT_NONE, { time: 2, logical: 0, actor, counter: 2 }, value('b'));
    assert.deepEqual(shown(mergeSets(first, forgot(9))), ['b'], 'the first is gone, and nobody had seen it');
    assert.deepEqual(shown(mergeSets(first, forgot(10))), ['a', 'b']);
  });
});

describe('rows of siblings', () => {
  const rowsOf = ([a, b, c]: readonly RowVersions[]): Row[] =>
    [a, b, c].flatMap((set) => {
      const row = set === undefined ? undefined : rowOfVersions(rowKey, set);
      return row === undefined ? [] : [row];
    });

  /** Rows of all kinds, of one key. */
  const rows: fc.Arbitrary<Row[]> = reachable.map(rowsOf);

  test('a set survives its row, and the row is intact', () => {
    fc.assert(
      fc.property(reachable, (sets) => {
        for (const set of sets) {
          const row = rowOfVersions(rowKey, set);
          if (row === undefined) {
            assert.deepEqual(set, emptySet());
            continue;
          }
          assert.ok(isRowIntact(rowKey, row));
          const read = versionsOfRow(row);
          if (isSiblingsRow(row)) {
            assert.deepEqual(read, set);
            assert.ok(isMade(rowStamp(row)));
            for (const { time } of set.vector) assert.ok(rowTime(row) >= time);
          } else {
            // A last-write-wins write that is later than all others: its own row, as it was.
            assert.ok(!isMade(rowStamp(row)));
            assert.deepEqual(read.register, set.register);
            assert.deepEqual(set.siblings, []);
          }
          assert.deepEqual(rowOfVersions(rowKey, read), row);
          const oldest = Math.min(rowTime(row), ...versionsOf(read).map(({ event }) => event.time));
          assert.equal(rowOldestTime(row), oldest);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('merge of rows of all kinds is commutative, associative and idempotent', () => {
    fc.assert(
      fc.property(rows, ([a, b, c]) => {
        if (a === undefined || b === undefined) return;
        const both = mergeRows(rowKey, a, b);
        assert.deepEqual(both, mergeRows(rowKey, b, a));
        assert.equal(mergeRows(rowKey, a, a), a);
        assert.deepEqual(mergeRows(rowKey, both, a), both);
        if (c === undefined) return;
        assert.deepEqual(mergeRows(rowKey, both, c), mergeRows(rowKey, a, mergeRows(rowKey, b, c)));
      }),
      { numRuns: 1500 },
    );
  });

  test('stamps are equal if and only if rows are', () => {
    fc.assert(
      fc.property(rows, (all) => {
        for (const a of all) {
          for (const b of all) assert.equal(compareRowStamps(a, b) === 0, equalBytes(a, b));
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('what a merge adds is above what it was made of, or beside it: never below its reading', () => {
    fc.assert(
      fc.property(rows, ([a, b]) => {
        if (a === undefined || b === undefined) return;
        const both = mergeRows(rowKey, a, b);
        assert.equal(rowTime(both), Math.max(rowTime(a), rowTime(b)));
      }),
    );
  });

  test('a damaged payload is a coded error and nothing else', () => {
    fc.assert(
      fc.property(rows, fc.nat(400), fc.nat(255), ([row], at, byte) => {
        if (row === undefined || !isSiblingsRow(row)) return;
        const damaged = row.slice();
        damaged[32 + (at % (row.length - 32))] = byte;
        try {
          versionsOfRow(damaged);
        } catch (error) {
          if (!(error instanceof CodedError)) throw error;
        }
      }),
    );
  });

  test('a register alone is a plain row', () => {
    const stamp = { time: 5, logical: 1, actor: 3, counter: 9 };
    const plain = encodeRow(rowKey, { kind: KIND_STRING, value: bytesOf('v'), expireAt: 77 }, stamp);
    assert.deepEqual(rowOfVersions(rowKey, versionsOfRow(plain)), plain);
  });
});

describe('contexts', () => {
  test('survive their bytes, and no other bytes are taken', () => {
    fc.assert(
      fc.property(reachable, fc.nat(), fc.integer({ min: 1, max: 255 }), ([set], at, flip) => {
        const bytes = encodeContext(rowKey, set);
        assert.deepEqual(decodeContext(rowKey, bytes, 1e12), contextOf(set));
        const isInvalid = (error: CodedError): boolean => error.code === 'invalid';
        const damaged = bytes.slice();
        damaged[at % bytes.length]! ^= flip;
        assert.throws(() => decodeContext(rowKey, damaged, 1e12), isInvalid);
        assert.throws(() => decodeContext(rowKey, bytes.subarray(0, at % bytes.length), 1e12), isInvalid);
        assert.throws(() => decodeContext(rowKeyOf('other'), bytes, 1e12), isInvalid);
        if (set.vector.length > 0) assert.throws(() => decodeContext(rowKey, bytes, 1), isInvalid);
      }),
    );
  });

  test('merged vectors cover what either covers, and no more', () => {
    fc.assert(
      fc.property(reachable, ([a, b]) => {
        const merged = mergeVectors(a.vector, b.vector);
        for (const entry of merged) {
          assert.ok(covers(a.vector, entry) || covers(b.vector, entry));
          const next = { ...entry, counter: entry.counter + 1 };
          assert.ok(!covers(merged, next));
        }
        assert.deepEqual(
          merged.map(({ actor }) => actor),
          [...new Set([...a.vector, ...b.vector].map(({ actor }) => actor))].sort((x, y) => x - y),
        );
      }),
    );
  });
});
