/** Laws of the membership list: its merge is a join, old state never returns, names are cleared, all is bounded. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteReader, ByteWriter } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { ENTRY_BYTES } from '../../src/membership/codec.ts';
import {
  copyEntry,
  Entry,
  incarnationOfStart,
  mergeEntry,
  STATUS_ALIVE,
  STATUS_DOWN,
  type Status,
} from '../../src/membership/entry.ts';
import { type GossipLimits, GossipList } from '../../src/membership/gossip-list.ts';

/** Small numbers, so that they collide. The facts follow from incarnation and counter, as of an honest member. */
const entries = fc
  .record({
    incarnation: fc.nat(3),
    status: fc.nat(3).map((status) => status as Status),
    counter: fc.nat(3),
    // What a node of protocol version 4 passes on has lost what is settled.
    passedOn: fc.boolean(),
  })
  .map(({ incarnation, status, counter, passedOn }) => {
    const entry = new Entry();
    Object.assign(entry, {
      incarnation,
      status,
      counter,
      epoch: counter * 2,
      settledEpoch: passedOn ? Math.min(counter * 2, 1) : counter,
      rebuildingSince: counter * 5,
      hintFloor: counter * 7,
    });
    return entry;
  });

function merged(a: Entry, b: Entry, oldWins = false): Entry {
  const into = new Entry();
  copyEntry(into, a);
  mergeEntry(into, b, oldWins);
  return into;
}

/** The laws of a join, for one way to merge. */
function laws(merge: (a: Entry, b: Entry) => Entry): void {
  fc.assert(
    fc.property(entries, entries, entries, (a, b, c) => {
      assert.deepEqual(merge(a, b), merge(b, a));
      assert.deepEqual(merge(merge(a, b), c), merge(a, merge(b, c)));
      assert.deepEqual(merge(a, a), a);
      // What was learned is not unlearned.
      const after = merge(a, b);
      assert.ok(after.incarnation >= a.incarnation);
      if (after.incarnation === a.incarnation) {
        assert.ok(after.status >= a.status && after.counter >= a.counter);
      }
    }),
    { numRuns: 2000 },
  );
}

test('merging entries is commutative, associative, idempotent, and never goes back', () => {
  laws((a, b) => merged(a, b));
});

test('the laws notice a merge by which an old incarnation wins', () => {
  assert.throws(() => laws((a, b) => merged(a, b, true)));
});

test('the laws notice a merge by which a counter clears a name', () => {
  assert.throws(() =>
    laws((a, b) => {
      const into = merged(a, b);
      if (a.incarnation === b.incarnation && b.counter > a.counter) into.status = b.status;
      return into;
    }),
  );
});

test('what merge says of a change is what changed', () => {
  fc.assert(
    fc.property(entries, entries, (a, b) => {
      const into = new Entry();
      copyEntry(into, a);
      const changed = mergeEntry(into, b);
      const status = into.status !== a.status || into.incarnation !== a.incarnation;
      assert.equal((changed & 2) !== 0, status);
      if ((changed & 1) === 0) assert.equal(into.counter, a.counter);
    }),
  );
});

const facts = { epoch: 0, settledEpoch: 0, rebuildingSince: 0, hintFloor: 0 };
const none: ReadonlySet<string> = new Set();
const limits: GossipLimits = { entriesMax: 8, entriesUsual: 3 };
const idsOf = (size: number): string[] => Array.from({ length: size }, (_, i) => `n${i}`);

/** A cluster of lists that send to each other in any order, and lose and repeat what they like. */
class Lists {
  readonly lists: GossipList[];
  constructor(size: number, mutants = none) {
    this.lists = idsOf(size).map(
      (id) => new GossipList(id, idsOf(size), incarnationOfStart(0), limits, mutants),
    );
  }

  message(from: number, to: number): Uint8Array {
    const writer = new ByteWriter();
    this.lists[from]!.raiseOwn(facts);
    this.lists[from]!.write(writer, to);
    return writer.take();
  }

  deliver(message: Uint8Array, from: number, to: number): void {
    this.lists[to]!.read(new ByteReader(message), from, { entryChanged: () => {}, refuted: () => {} });
  }
}

interface Step {
  readonly from: number;
  readonly to: number;
  readonly accuse: boolean;
  readonly repeat: number;
}

const steps = fc.array(
  fc.record({ from: fc.nat(4), to: fc.nat(4), accuse: fc.boolean(), repeat: fc.nat(50) }),
  { minLength: 20, maxLength: 80 },
);

/** Runs the steps with repeated old messages; nothing may ever go back; in the end every name is clear. */
function history(run: readonly Step[], mutants: ReadonlySet<string>): void {
  const world = new Lists(5, mutants);
  const sent: { message: Uint8Array; from: number; to: number }[] = [];
  const before = world.lists.map((list) => list.entries.map((entry) => merged(entry, new Entry())));
  const check = (): void => {
    for (const [observer, list] of world.lists.entries()) {
      for (const [member, entry] of list.entries.entries()) {
        const old = before[observer]![member]!;
        assert.ok(entry.incarnation >= old.incarnation, 'an old incarnation came back');
        if (entry.incarnation === old.incarnation && member !== observer) {
          assert.ok(entry.status >= old.status && entry.counter >= old.counter, 'an old state came back');
        }
        copyEntry(old, entry);
      }
      assert.equal(list.own.status, STATUS_ALIVE);
    }
  };
  for (const { from, to, accuse, repeat } of run) {
    if (from === to) continue;
    const list = world.lists[from]!;
    if (accuse && list.entries[to]!.status < STATUS_DOWN) list.accuse(to, STATUS_DOWN);
    const message = world.message(from, to);
    sent.push({ message, from, to });
    world.deliver(message, from, to);
    check();
    const again = sent[repeat % sent.length]!;
    world.deliver(again.message, again.from, again.to);
    check();
  }
  for (let round = 0; round < 6; round++) {
    for (let from = 0; from < 5; from++) {
      for (let to = 0; to < 5; to++) if (from !== to) world.deliver(world.message(from, to), from, to);
    }
  }
  for (const list of world.lists) {
    for (const entry of list.entries)
      assert.equal(entry.status, STATUS_ALIVE, 'a living member cleared its name');
  }
}

test('whatever is repeated and however rumours fly, old state never returns and the living clear their names', () => {
  fc.assert(
    fc.property(steps, (run) => history(run, none)),
    { numRuns: 200 },
  );
});

test('mutant gossip-old-incarnation-wins is caught', () => {
  const mutants = new Set(['gossip-old-incarnation-wins']);
  assert.throws(() =>
    fc.assert(
      fc.property(steps, (run) => history(run, mutants)),
      { numRuns: 200 },
    ),
  );
});

test('a node that lost its disk raises its incarnation above the one it forgot', () => {
  const world = new Lists(3);
  const list = world.lists[1]!;
  const later = new Entry();
  Object.assign(later, { incarnation: incarnationOfStart(700_000), counter: 99 });
  copyEntry(list.entries[0]!, later);
  // It speaks of itself as of an older life, and is told.
  world.deliver(world.message(0, 1), 0, 1);
  assert.equal(list.entries[0]!.incarnation, later.incarnation);
  world.deliver(world.message(1, 0), 1, 0);
  assert.equal(world.lists[0]!.own.incarnation, later.incarnation + 1);
  world.deliver(world.message(0, 1), 0, 1);
  assert.equal(list.entries[0]!.incarnation, later.incarnation + 1);
  assert.equal(list.entries[0]!.status, STATUS_ALIVE);
});

test('a message has the same bound in any cluster, and damaged ones are refused, not obeyed', () => {
  for (const size of [1, 2, 3, 10, 100, 1000]) {
    const world = new Lists(Math.min(size, 12));
    const list = new GossipList('n0', idsOf(size), 1, limits, none);
    for (let i = 1; i < Math.min(size, 30); i++) list.accuse(i, STATUS_DOWN);
    const writer = new ByteWriter();
    if (size > 1) list.write(writer, 1);
    assert.ok(writer.length <= 5 + ENTRY_BYTES + 1 + 8 * (ENTRY_BYTES + 5), `${writer.length} bytes`);
    assert.ok(world.lists.length > 0);
  }
  const world = new Lists(5);
  for (let i = 0; i < 3; i++) world.deliver(world.message(1, 0), 1, 0);
  fc.assert(
    fc.property(fc.nat(200), fc.nat(255), (at, byte) => {
      const message = world.message(0, 1);
      message[at % message.length] = byte;
      try {
        world.deliver(message.subarray(0, Math.max(1, at)), 0, 1);
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
      }
    }),
  );
});

test('a peer that knows nothing of settled epochs is told without, and has settled the founding one at most', () => {
  const told = (settled: boolean): [ByteWriter, Entry] => {
    const from = new GossipList('n1', idsOf(3), incarnationOfStart(0), limits, none);
    from.raiseOwn({ epoch: 9, settledEpoch: 8, rebuildingSince: 0, hintFloor: 3 });
    const writer = new ByteWriter();
    from.write(writer, 0, settled);
    const to = new GossipList('n0', idsOf(3), incarnationOfStart(0), limits, none);
    to.read(new ByteReader(writer.view()), 1, { entryChanged: () => {}, refuted: () => {} });
    return [writer, to.entries[1]!];
  };
  const [withSettled, entry] = told(true);
  assert.deepEqual([entry.epoch, entry.settledEpoch, entry.hintFloor], [9, 8, 3]);
  const [without, older] = told(false);
  assert.deepEqual([older.epoch, older.settledEpoch, older.hintFloor], [9, 1, 3]);
  // One entry of its own and one of the third member.
  assert.equal(withSettled.length - without.length, 2 * 4);
});
