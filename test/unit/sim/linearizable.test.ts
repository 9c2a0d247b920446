/**
 * The checker of P6 against brute force: on every history of up to three requests (and of four
 * without open ends), and on random longer ones, both must say the same.
 */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type RegisterOp, registerFault } from '../../../sim/oracles/linearizable.ts';
import { Prng } from '../../../src/base/prng.ts';

/** Tries every order that respects real time. Writes that never returned may be left out. */
function isLinearizableByForce(ops: readonly RegisterOp[]): boolean {
  const left = new Set(ops);
  const search = (value: number): boolean => {
    let open = false;
    for (const op of left) if (op.return !== Number.POSITIVE_INFINITY) open = true;
    if (!open) return true;
    let earliestReturn = Number.POSITIVE_INFINITY;
    for (const op of left) earliestReturn = Math.min(earliestReturn, op.return);
    for (const op of [...left]) {
      if (op.invoke > earliestReturn || (!op.write && op.value !== value)) continue;
      left.delete(op);
      const found = search(op.write ? op.value : value);
      left.add(op);
      if (found) return true;
    }
    return false;
  };
  return search(0);
}

/** All ways to place `count` intervals with distinct endpoints, up to renaming of time. */
function* intervals(count: number): Generator<[number, number][]> {
  const placed: [number, number][] = [];
  const free = Array.from({ length: 2 * count }, (_, i) => i);
  function* place(index: number, slots: readonly number[]): Generator<[number, number][]> {
    if (index === count) {
      yield placed.map(([a, b]) => [a, b]);
      return;
    }
    for (let a = 0; a < slots.length; a++) {
      for (let b = a + 1; b < slots.length; b++) {
        placed[index] = [slots[a]!, slots[b]!];
        yield* place(
          index + 1,
          slots.filter((_, i) => i !== a && i !== b),
        );
      }
    }
  }
  yield* place(0, free);
}

/** All ways to make `count` requests writes of own values or reads of a written value or of nothing. */
function* roles(count: number): Generator<{ write: boolean; value: number }[]> {
  for (let mask = 0; mask < 1 << count; mask++) {
    const written = Array.from({ length: count }, (_, i) => i).filter((i) => mask & (1 << i));
    const readable = [0, ...written.map((i) => i + 1)];
    const reads = count - written.length;
    for (let choice = 0; choice < readable.length ** reads; choice++) {
      let rest = choice;
      yield Array.from({ length: count }, (_, i) => {
        if (mask & (1 << i)) return { write: true, value: i + 1 };
        const value = readable[rest % readable.length]!;
        rest = Math.floor(rest / readable.length);
        return { write: false, value };
      });
    }
  }
}

function compare(ops: readonly RegisterOp[]): boolean {
  const fault = registerFault(ops);
  const expected = isLinearizableByForce(ops);
  if ((fault === undefined) !== expected) {
    assert.fail(`checker: ${fault ?? 'linearizable'}, brute force: ${expected}, on ${JSON.stringify(ops)}`);
  }
  return expected;
}

describe('linearizability of a register', () => {
  it('agrees with brute force on every history of up to three requests, open writes included', () => {
    const counts = { yes: 0, no: 0 };
    for (let count = 1; count <= 3; count++) {
      for (const places of intervals(count)) {
        for (const role of roles(count)) {
          const writes = role.flatMap(({ write }, i) => (write ? [i] : []));
          for (let open = 0; open < 1 << writes.length; open++) {
            const ops = role.map((one, i) => {
              const never = one.write && (open & (1 << writes.indexOf(i))) !== 0;
              return {
                ...one,
                invoke: places[i]![0],
                return: never ? Number.POSITIVE_INFINITY : places[i]![1],
              };
            });
            if (compare(ops)) counts.yes++;
            else counts.no++;
          }
        }
      }
    }
    assert.ok(counts.yes > 1000 && counts.no > 500, JSON.stringify(counts));
  });

  it('agrees with brute force on every history of four requests', () => {
    const counts = { yes: 0, no: 0 };
    // Intervals are taken in order of their beginning: renaming requests changes nothing.
    const ordered = [...intervals(4)].filter((places) =>
      places.every(([a], i) => i === 0 || places[i - 1]![0] < a),
    );
    for (const places of ordered) {
      for (const role of roles(4)) {
        const ops = role.map((one, i) => ({ ...one, invoke: places[i]![0], return: places[i]![1] }));
        if (compare(ops)) counts.yes++;
        else counts.no++;
      }
    }
    assert.equal(ordered.length, 105);
    assert.ok(counts.yes > 1000 && counts.no > 1000, JSON.stringify(counts));
  });

  it('agrees with brute force on random histories of five to seven requests', () => {
    const prng = new Prng(7);
    const counts = { yes: 0, no: 0 };
    for (let round = 0; round < 4000; round++) {
      const count = prng.between(5, 7);
      const ops: RegisterOp[] = [];
      for (let i = 0; i < count; i++) {
        const invoke = prng.below(30) + i / 100;
        const write = i === 0 || prng.chance(0.5);
        const written = ops.filter((op) => op.write).map((op) => op.value);
        const value = write ? i + 1 : prng.pick([0, ...written]);
        const never = write && prng.chance(0.15);
        const end = never ? Number.POSITIVE_INFINITY : invoke + 1 + prng.below(12) + i / 1000;
        ops.push({ write, value, invoke, return: end });
      }
      if (compare(ops)) counts.yes++;
      else counts.no++;
    }
    assert.ok(counts.yes > 300 && counts.no > 300, JSON.stringify(counts));
  });

  it('names the values at fault', () => {
    const ops = [
      { write: true, value: 1, invoke: 0, return: 1 },
      { write: true, value: 2, invoke: 2, return: 3 },
      { write: false, value: 2, invoke: 4, return: 5 },
      { write: false, value: 1, invoke: 6, return: 7 },
    ];
    assert.match(registerFault(ops) ?? '', /values 1 and 2/);
    assert.match(
      registerFault([{ write: false, value: 9, invoke: 0, return: 1 }]) ?? '',
      /9 .*never written/,
    );
  });
});
