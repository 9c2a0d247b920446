/**
 * The search for a linearization, against a naive one that tries every order: on every history of up to
 * four operations with every choice of values and open ends, on random longer ones, and against the test
 * of zones, which decides the same question by other means. An order that the search gives is checked.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgeKey, judgeKeys } from '../../../sim/linearizability/checker.ts';
import {
  type Held,
  type Model,
  REGISTER,
  type RegisterAction,
  UPDATES,
  type UpdateAction,
} from '../../../sim/linearizability/model.ts';
import { type Operation, SEARCH_LIMITS_DEFAULT, search } from '../../../sim/linearizability/search.ts';
import { type RegisterOp, registerFault } from '../../../sim/oracles/linearizable.ts';
import { Prng } from '../../../src/base/prng.ts';

/** Tries every order of every choice of lost operations that respects real time. */
function byForce<A>(model: Model<Held, A>, operations: readonly Operation<A>[]): boolean {
  const left = new Set(operations);
  const go = (state: Held): boolean => {
    if ([...left].every((operation) => operation.return === Infinity)) return true;
    for (const operation of [...left]) {
      if ([...left].some((other) => other.return < operation.invoke)) continue;
      const next = model.step(state, operation.action);
      if (next === undefined) continue;
      left.delete(operation);
      const found = go(next);
      left.add(operation);
      if (found) return true;
    }
    return false;
  };
  return go(model.initial);
}

/** An order must hold every operation that returned, once, respect real time, and fit the model. */
function checkOrder<A>(model: Model<Held, A>, operations: readonly Operation<A>[], order: readonly number[]) {
  assert.equal(new Set(order).size, order.length);
  const taken = new Set(order);
  operations.forEach(({ return: end }, i) => {
    if (end !== Infinity) assert.ok(taken.has(i), `operation ${i} is missing`);
  });
  let state: Held = model.initial;
  let latestInvoke = Number.NEGATIVE_INFINITY;
  for (const index of order) {
    const { action, invoke, return: end } = operations[index]!;
    assert.ok(end >= latestInvoke, 'real time is respected');
    latestInvoke = Math.max(latestInvoke, invoke);
    const next = model.step(state, action);
    assert.ok(next !== undefined, 'the model accepts the order');
    state = next;
  }
}

interface Counts {
  yes: number;
  no: number;
}

function compare<A>(model: Model<Held, A>, operations: readonly Operation<A>[], counts: Counts): void {
  const { verdict, order } = search(model, operations);
  const expected = byForce(model, operations);
  if (verdict !== (expected ? 'linearizable' : 'violated')) {
    assert.fail(`search: ${verdict}, brute force: ${expected}, on ${JSON.stringify(operations)}`);
  }
  if (expected) {
    checkOrder(model, operations, order);
    counts.yes++;
  } else counts.no++;
}

/** All ways in which `count` intervals may overlap, the first to begin first. */
function* overlaps(count: number): Generator<readonly (readonly [number, number])[]> {
  const ends: [number, number][] = [];
  function* place(time: number, open: readonly number[]): Generator<[number, number][]> {
    if (time === 2 * count) {
      yield ends.map(([from, to]) => [from, to]);
      return;
    }
    if (ends.length < count) {
      ends.push([time, 0]);
      yield* place(time + 1, [...open, ends.length - 1]);
      ends.pop();
    }
    for (const index of open) {
      ends[index]![1] = time;
      yield* place(
        time + 1,
        open.filter((other) => other !== index),
      );
    }
  }
  yield* place(0, []);
}

/** Every history of `count` operations, each one of `actions`, those that are not reads lost or not. */
function* histories<A>(
  model: Model<Held, A>,
  actions: readonly A[],
  count: number,
  lost: boolean,
): Generator<Operation<A>[]> {
  const places = [...overlaps(count)];
  const choices = actions.flatMap((action) =>
    lost && !model.isRead(action)
      ? [
          { action, lost: false },
          { action, lost: true },
        ]
      : [{ action, lost: false }],
  );
  for (let code = 0; code < choices.length ** count; code++) {
    let rest = code;
    const chosen = Array.from({ length: count }, () => {
      const choice = choices[rest % choices.length]!;
      rest = Math.floor(rest / choices.length);
      return choice;
    });
    for (const place of places) {
      yield chosen.map((choice, i) => ({
        action: choice.action,
        invoke: place[i]![0],
        return: choice.lost ? Infinity : place[i]![1],
      }));
    }
  }
}

const read = (value: Held): RegisterAction => ({ kind: 'read', value });
const write = (value: Held): RegisterAction => ({ kind: 'write', value });
const remove: RegisterAction = { kind: 'delete' };

function toOperation(op: RegisterOp): Operation<RegisterAction> {
  const value = op.value === 0 ? null : op.value;
  return { invoke: op.invoke, return: op.return, action: op.write ? write(value) : read(value) };
}

describe('the search for a linearization of a register', () => {
  it('agrees with brute force on every history of up to three operations, lost ones included', () => {
    const counts = { yes: 0, no: 0 };
    const actions = [read(null), read(1), read(2), write(1), write(2), remove];
    for (let count = 1; count <= 3; count++) {
      for (const history of histories(REGISTER, actions, count, true)) compare(REGISTER, history, counts);
    }
    // 9 choices an operation; 1, 3 and 15 ways to overlap.
    assert.equal(counts.yes + counts.no, 9 + 81 * 3 + 729 * 15);
    assert.ok(counts.yes > 2000 && counts.no > 2000, JSON.stringify(counts));
  });

  it('agrees with brute force on every history of four operations on two values', () => {
    const counts = { yes: 0, no: 0 };
    const actions = [read(null), read(1), write(1), remove];
    for (const history of histories(REGISTER, actions, 4, true)) compare(REGISTER, history, counts);
    assert.equal(counts.yes + counts.no, 6 ** 4 * 105);
    assert.ok(counts.yes > 10_000 && counts.no > 10_000, JSON.stringify(counts));
  });

  it('agrees with brute force on every history of five reads and writes of two values', () => {
    const counts = { yes: 0, no: 0 };
    const actions = [read(1), write(1), write(2)];
    for (const history of histories(REGISTER, actions, 5, false)) compare(REGISTER, history, counts);
    assert.equal(counts.yes + counts.no, 3 ** 5 * 945);
    assert.ok(counts.yes > 10_000 && counts.no > 10_000, JSON.stringify(counts));
  });

  it('agrees with brute force on random histories of six to nine operations', () => {
    const counts = { yes: 0, no: 0 };
    const prng = new Prng(11);
    for (let round = 0; round < 3000; round++) compare(REGISTER, randomHistory(prng), counts);
    assert.ok(counts.yes > 300 && counts.no > 300, JSON.stringify(counts));
  });

  it('agrees with the test of zones on thousands of random histories', () => {
    const prng = new Prng(5);
    const counts = { yes: 0, no: 0 };
    for (let round = 0; round < 6000; round++) {
      const ops = likelyRegisterHistory(prng, prng.between(4, 60));
      const zones = registerFault(ops);
      const operations = ops.map(toOperation);
      const { verdict, order } = search(REGISTER, operations);
      if ((zones === undefined) !== (verdict === 'linearizable')) {
        assert.fail(`zones: ${zones ?? 'none'}, search: ${verdict}, on ${JSON.stringify(ops)}`);
      }
      if (zones === undefined) {
        checkOrder(REGISTER, operations, order);
        counts.yes++;
      } else counts.no++;
    }
    assert.ok(counts.yes > 1000 && counts.no > 1000, JSON.stringify(counts));
  });

  it('takes operations that touch at one moment as overlapping', () => {
    const history = [
      { invoke: 0, return: 5, action: write(1) },
      { invoke: 5, return: 6, action: read(null) },
    ];
    assert.equal(search(REGISTER, history).verdict, 'linearizable');
    history[1] = { invoke: 5.1, return: 6, action: read(null) };
    assert.equal(search(REGISTER, history).verdict, 'violated');
  });
});

/** Any actions at any times. */
function randomHistory(prng: Prng): Operation<RegisterAction>[] {
  const values = [null, 1, 2, 3];
  return Array.from({ length: prng.between(6, 9) }, () => {
    const invoke = prng.below(30);
    const action = prng.chance(0.5)
      ? read(prng.pick(values))
      : prng.chance(0.2)
        ? remove
        : write(prng.between(1, 3));
    const never = action.kind !== 'read' && prng.chance(0.2);
    return { invoke, return: never ? Infinity : invoke + 1 + prng.below(12), action };
  });
}

/**
 * Unique writes and reads of a real register, each at a moment within its interval; in half of the
 * histories one read sees another value than it should.
 */
function likelyRegisterHistory(prng: Prng, count: number): RegisterOp[] {
  const ops: (RegisterOp & { at: number; lost: boolean })[] = [];
  for (let i = 0; i < count; i++) {
    const at = prng.unit() * count * 3;
    const isWrite = prng.chance(0.4);
    const lost = isWrite && prng.chance(0.15);
    ops.push({
      write: isWrite,
      value: i + 1,
      invoke: at - prng.unit() * 10,
      return: lost ? Infinity : at + prng.unit() * 10,
      at,
      // Half of the lost ones never take effect.
      lost: lost && prng.chance(0.5),
    });
  }
  ops.sort((a, b) => a.at - b.at);
  let current = 0;
  const history = ops.map((op) => {
    if (op.write && !op.lost) current = op.value;
    return { write: op.write, value: op.write ? op.value : current, invoke: op.invoke, return: op.return };
  });
  const written = [0, ...history.filter((op) => op.write).map((op) => op.value)];
  const reads = history.filter((op) => !op.write);
  if (prng.chance(0.5) && reads.length > 0) {
    const wrong = prng.pick(reads);
    history[history.indexOf(wrong)] = { ...wrong, value: prng.pick(written) };
  }
  return history;
}

describe('the search on updates', () => {
  const action = (kind: UpdateAction): UpdateAction => kind;
  it('agrees with brute force on every history of three updates', () => {
    const counts = { yes: 0, no: 0 };
    const actions: UpdateAction[] = [
      { kind: 'read', value: 1 },
      { kind: 'read', value: null },
      { kind: 'write', value: 1 },
      { kind: 'set-if-missing', value: 1, result: true },
      { kind: 'set-if-missing', value: 1, result: false },
      { kind: 'compare-and-set', expected: 1, value: 2, result: true },
      { kind: 'increment', by: 1, result: 1 },
      { kind: 'increment', by: 1, result: 2 },
    ];
    for (const history of histories(UPDATES, actions, 3, true)) compare(UPDATES, history, counts);
    assert.equal(counts.yes + counts.no, 14 ** 3 * 15);
    assert.ok(counts.yes > 1000 && counts.no > 1000, JSON.stringify(counts));
  });

  it('finds two clients that both got one lock, and an increment that was lost', () => {
    const lock = [1, 2].map((value) => ({
      invoke: value,
      return: value + 5,
      action: action({ kind: 'set-if-missing', value, result: true }),
    }));
    assert.equal(search(UPDATES, lock).verdict, 'violated');
    const sums = [1, 1].map((result, i) => ({
      invoke: i,
      return: i + 5,
      action: action({ kind: 'increment', by: 1, result }),
    }));
    assert.equal(search(UPDATES, sums).verdict, 'violated');
    sums[1] = { ...sums[1]!, action: { kind: 'increment', by: 1, result: 2 } };
    assert.equal(search(UPDATES, sums).verdict, 'linearizable');
  });

  it('an update of unknown outcome may be why the next was refused', () => {
    const history = [
      {
        invoke: 0,
        return: Infinity,
        action: action({ kind: 'set-if-missing', value: 1, result: undefined }),
      },
      { invoke: 5, return: 6, action: action({ kind: 'set-if-missing', value: 2, result: false }) },
    ];
    assert.equal(search(UPDATES, history).verdict, 'linearizable');
    assert.equal(search(UPDATES, history.slice(1)).verdict, 'violated');
  });
});

describe('verdicts', () => {
  /** A write that a read saw, and a later read that saw the value before (Herlihy and Wing's example). */
  const backwards = [
    { invoke: 0, return: 1, action: write(1) },
    { invoke: 2, return: 9, action: write(2) },
    { invoke: 3, return: 4, action: read(2) },
    { invoke: 5, return: 6, action: read(1) },
  ];

  it('explain a read that went backwards', () => {
    const { verdict, text } = judgeKey('k', REGISTER, backwards);
    assert.equal(verdict, 'violated');
    assert.match(text, /3 of 4 operations can be put in an order/);
    assert.match(text, /leaves 2\. In no order is there a place for\n {4}read 1 \(5 to 6\)$/);
  });

  it('explain two reads that saw two concurrent writes in different orders', () => {
    const history = [
      { invoke: 0, return: 9, action: write(1) },
      { invoke: 0, return: 9, action: write(2) },
      { invoke: 1, return: 2, action: read(1) },
      { invoke: 3, return: 4, action: read(2) },
      { invoke: 5, return: 6, action: read(1) },
    ];
    assert.match(judgeKey('k', REGISTER, history).text, /a place for\n {4}read 1 \(5 to 6\)/);
  });

  it('name what was under way and does not help, and not what came later', () => {
    const history = [...backwards, { invoke: 5, return: Infinity, action: write(7) }];
    history.push({ invoke: 20, return: 21, action: read(7) });
    const { text } = judgeKey('k', REGISTER, history);
    assert.match(text, /3 of 6 operations/);
    assert.match(text, /does not help:\n {4}write 7 \(5 to never answered\)$/);
  });

  it('are given key by key', () => {
    const good = backwards.slice(0, 3);
    const verdicts = judgeKeys(
      REGISTER,
      new Map([
        ['a', good],
        ['b', backwards],
      ]),
    );
    assert.deepEqual(
      verdicts.map(({ key, verdict }) => [key, verdict]),
      [
        ['a', 'linearizable'],
        ['b', 'violated'],
      ],
    );
  });

  it('are unknown, never passed, when the bound is reached', () => {
    // Updates that all overlap in any order, and a read that none of the orders explains.
    const history: Operation<UpdateAction>[] = [];
    for (let i = 1; i <= 14; i++) {
      history.push({ invoke: i / 100, return: 100 + i, action: { kind: 'write', value: i % 7 } });
    }
    history.push({ invoke: 200, return: 201, action: { kind: 'read', value: 99 } });
    const tight = { ...SEARCH_LIMITS_DEFAULT, configurationsMax: 500 };
    const { verdict, text } = judgeKey('k', UPDATES, history, tight);
    assert.equal(verdict, 'unknown');
    assert.match(text, /not passed/);
    assert.equal(search(UPDATES, history).verdict, 'violated');
    assert.equal(search(UPDATES, history, { ...SEARCH_LIMITS_DEFAULT, stepsMax: 100 }).verdict, 'unknown');
    assert.equal(search(UPDATES, history, { ...SEARCH_LIMITS_DEFAULT, setBytesMax: 100 }).verdict, 'unknown');
  });

  it('come where dozens of writes overlap', () => {
    const history: Operation<RegisterAction>[] = [];
    for (let i = 1; i <= 60; i++) history.push({ invoke: i / 100, return: 100 + i, action: write(i) });
    for (const value of [7, 50, 3]) {
      const invoke = 200 + history.length;
      history.push({ invoke: 2 + invoke / 1000, return: 3 + invoke / 1000, action: read(value) });
    }
    assert.equal(search(REGISTER, history).verdict, 'linearizable');
    history.push({ invoke: 300, return: 301, action: read(7) });
    assert.equal(search(REGISTER, history).verdict, 'linearizable');
    history.push({ invoke: 302, return: 303, action: read(50) });
    assert.equal(search(REGISTER, history).verdict, 'violated');
  });

  it('come quickly on long histories with many lost writes', () => {
    const prng = new Prng(3);
    const operations = likelyRegisterHistory(prng, 20_000).map(toOperation);
    const from = performance.now();
    const { verdict } = search(REGISTER, operations);
    assert.notEqual(verdict, 'unknown');
    assert.ok(performance.now() - from < 5000, `${performance.now() - from} ms`);
  });
});
