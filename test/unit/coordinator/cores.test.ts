/**
 * The values a coordinator decides with: quorum cores, plans, policies, reply times and the hedge
 * budget. No messages and no time in here.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { bytesOf } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { Prng } from '../../../src/base/prng.ts';
import { HedgeBudget, hedgeDelayMs, ReplyTime } from '../../../src/coordinator/hedge.ts';
import { PlanBook } from '../../../src/coordinator/plan.ts';
import {
  checkPolicy,
  isLinearizable,
  POLICY_PRESETS,
  PolicyTable,
  policyFor,
} from '../../../src/coordinator/policy.ts';
import { ReadCore } from '../../../src/coordinator/read-core.ts';
import { WriteCore } from '../../../src/coordinator/write-core.ts';
import { place } from '../../../src/ring/placement.ts';
import { mergeRows } from '../../../src/rows/merge.ts';
import type { Row, Stamp } from '../../../src/rows/row.ts';
import { compareStamps, encodeStamp, KIND_STRING, rowStamp, STAMP_NONE } from '../../../src/rows/row.ts';
import { rowOfVersions } from '../../../src/rows/siblings.ts';
import { Topology } from '../../../src/topology/topology.ts';

function stamp(time: number): Stamp {
  return time === 0 ? STAMP_NONE : encodeStamp({ time, logical: 0, actor: 1, counter: 1 });
}

const momentMs = 1000;

/** A row of siblings, a value a dot, all written at one moment. */
function siblingsRow(dots: readonly { readonly actor: number; readonly counter: number }[]): Row {
  let row: Row | undefined;
  for (const { actor, counter } of dots) {
    const event = { time: momentMs, logical: 0, actor, counter };
    const value = { kind: KIND_STRING, value: bytesOf(`${actor}:${counter}`), expireAt: 0 };
    const alone = rowOfVersions('k', { vector: [event], register: undefined, siblings: [{ event, value }] })!;
    row = row === undefined ? alone : mergeRows('k', row, alone);
  }
  return row!;
}

describe('ReadCore', () => {
  test('any order of answers gives the same winner, holders and laggards', () => {
    const answers = fc.uniqueArray(fc.record({ from: fc.nat(9), time: fc.nat(4) }), {
      selector: (answer) => answer.from,
      minLength: 1,
      maxLength: 7,
    });
    fc.assert(
      fc.property(answers, fc.infiniteStream(fc.nat()), (given, picks) => {
        const shuffled = [...given].sort(() => (picks.next().value % 2 === 0 ? 1 : -1));
        const rows = new Map(given.map(({ time }) => [time, new Uint8Array([time]) as Row]));
        const max = Math.max(...given.map((answer) => answer.time));
        for (const order of [given, shuffled]) {
          const core = new ReadCore(given.length, 'k');
          for (const [i, { from, time }] of order.entries()) {
            assert.equal(core.isEnough, i >= given.length);
            core.add(`n${from}`, stamp(time), time === 0 ? undefined : rows.get(time));
          }
          assert.equal(core.isEnough, true);
          assert.equal(compareStamps(core.stamp, stamp(max)), 0);
          assert.equal(core.row?.[0], max === 0 ? undefined : max);
          const behind = given.filter((answer) => answer.time < max).map((answer) => `n${answer.from}`);
          assert.deepEqual(core.behind().sort(), behind.sort());
          assert.equal(core.holders(), given.length - behind.length);
          for (const from of behind) core.repaired(from);
          assert.deepEqual(core.behind(), []);
          assert.equal(core.holders(), given.length);
          core.repaired('someone else');
          core.repaired('someone else');
          assert.equal(core.holders(), given.length + 1, 'a replica counts once');
        }
      }),
    );
  });

  test('who was started anew is no holder until it holds the winner again, and its answer still counts', () => {
    const core = new ReadCore(2, 'k');
    core.add('n1', stamp(5), new Uint8Array([5]) as Row);
    core.add('n2', stamp(5), undefined);
    assert.equal(core.holders(), 2);
    assert.equal(core.reborn('n2'), true);
    assert.equal(core.reborn('n2'), false, 'it is known already');
    assert.equal(core.reborn('n3'), false, 'it said nothing');
    assert.equal(core.isEnough, true);
    assert.equal(core.holders(), 1);
    assert.deepEqual(core.behind(), ['n2']);
    core.repaired('n2');
    assert.equal(core.holders(), 2);
    assert.deepEqual(core.behind(), []);
  });

  test('of siblings any order of answers gives all that was told, whoever says only that he holds the same', () => {
    const dots = fc.record({
      actor: fc.integer({ min: 1, max: 3 }),
      counter: fc.integer({ min: 1, max: 3 }),
    });
    // Writes of one moment: then the digests alone order the stamps.
    const holdings = fc.array(
      fc.uniqueArray(dots, { minLength: 1, maxLength: 3, selector: (dot) => dot.actor }),
      {
        minLength: 1,
        maxLength: 4,
      },
    );
    fc.assert(
      fc.property(holdings, fc.array(fc.nat(), { minLength: 8, maxLength: 8 }), (given, picks) => {
        const rows = given.map((held) => siblingsRow(held));
        const all = rows.reduce((a, b) => mergeRows('k', a, b));
        const core = new ReadCore(2 * rows.length, 'k');
        const told: Row[] = [];
        for (const [i, row] of rows.entries()) {
          core.add(`n${i}`, rowStamp(row), row);
          told.push(row);
          const same = told[picks[i]! % told.length]!;
          core.add(`same${i}`, rowStamp(same), undefined);
        }
        assert.deepEqual(core.row, all);
        assert.equal(compareStamps(core.stamp, rowStamp(all)), 0);
      }),
    );
  });

  test('a flush above siblings is the winner, one below them is not', () => {
    const row = siblingsRow([{ actor: 1, counter: 1 }]);
    for (const [time, isWinner] of [
      [momentMs - 1, false],
      [momentMs + 1, true],
    ] as const) {
      for (const rowFirst of [true, false]) {
        const core = new ReadCore(2, 'k');
        if (rowFirst) core.add('a', rowStamp(row), row);
        core.add('b', stamp(time), undefined);
        if (!rowFirst) core.add('a', rowStamp(row), row);
        assert.equal(core.row === undefined, isWinner);
      }
    }
  });

  test('an equal stamp without the row does not take the row away', () => {
    const core = new ReadCore(2, 'k');
    const row = new Uint8Array([1]);
    core.add('n1', stamp(5), row);
    core.add('n2', stamp(5), undefined);
    assert.equal(core.row, row);
  });
});

describe('WriteCore', () => {
  test('reached and impossible exclude each other, never change back, and settle at the last answer', () => {
    fc.assert(
      fc.property(
        fc
          .integer({ min: 1, max: 7 })
          .chain((asked) =>
            fc.tuple(
              fc.constant(asked),
              fc.integer({ min: 1, max: asked }),
              fc.array(fc.boolean(), { minLength: asked, maxLength: asked }),
            ),
          ),
        ([asked, needed, answers]) => {
          const core = new WriteCore(needed, asked);
          let decided: string | undefined;
          for (const [i, good] of answers.entries()) {
            assert.equal(core.settled, false);
            const state = good ? core.acknowledge() : core.lose();
            const acknowledged = answers.slice(0, i + 1).filter(Boolean).length;
            if (state === 'reached') assert.ok(acknowledged >= needed);
            if (state === 'impossible') assert.ok(asked - (i + 1 - acknowledged) < needed);
            if (decided !== undefined) assert.equal(state, decided);
            if (state !== 'waiting') decided = state;
          }
          assert.equal(core.settled, true);
          assert.notEqual(decided, undefined, 'all answers are in: it is decided');
          assert.equal(core.acknowledgements + core.losses, asked);
        },
      ),
    );
  });
});

describe('PlanBook', () => {
  const members = [1, 2, 3, 4, 5].map((i) => ({ id: `n${i}`, weight: 1, zone: i <= 2 ? 'near' : `far${i}` }));
  const table = place(undefined, members, { partitionCount: 64, replicaCount: 3 });
  const addresses = { host: '127.0.0.1', respPort: 6371, peerPort: 7371, httpPort: 0 };
  const addressed = members.map((member) => ({ ...member, ...addresses }));

  function book(self: string, dead: Set<string>): PlanBook {
    return new PlanBook(self, Topology.founding(addressed, table), {
      isLive: (id) => id === self || !dead.has(id),
      zoneOf: (id) => members.find((member) => member.id === id)!.zone,
    });
  }

  test('replicas by liveness, own zone first, primary the first live one', () => {
    const dead = new Set<string>();
    for (const self of ['n1', 'n3', 'n5']) {
      const plans = book(self, dead);
      for (const gone of [[], ['n2'], ['n1', 'n4'], ['n1', 'n2', 'n3', 'n4', 'n5']]) {
        dead.clear();
        for (const id of gone) dead.add(id);
        plans.invalidate();
        for (let slot = 0; slot < 16384; slot += 128) {
          const plan = plans.of(slot);
          const list = table.preferenceList(slot);
          const isLive = (id: string): boolean => id === self || !dead.has(id);
          assert.deepEqual(plan.replicas, list);
          assert.equal(plan.selfIsReplica, list.includes(self));
          assert.equal(plan.primary, list.find(isLive));
          assert.equal(plan.epoch, table.epoch);
          const others = list.filter((id) => id !== self);
          assert.deepEqual([...plan.remotesLive].sort(), others.filter(isLive).sort());
          assert.deepEqual(
            plan.remotesDead,
            others.filter((id) => !isLive(id)),
          );
          const zone = members.find((member) => member.id === self)!.zone;
          const isNear = plan.remotesLive.map((id) => members.find((one) => one.id === id)!.zone === zone);
          assert.deepEqual(
            isNear,
            [...isNear].sort((a, b) => Number(b) - Number(a)),
            'near ones first',
          );
        }
      }
    }
  });

  test('a plan is kept for all slots of a partition, until liveness changes', () => {
    const plans = book('n1', new Set());
    const plan = plans.of(0);
    assert.equal(plans.of(255), plan);
    assert.notEqual(plans.of(256), plan);
    plans.invalidate();
    assert.notEqual(plans.of(0), plan);
  });
});

describe('policies', () => {
  test('the longest matching prefix wins, whatever the order of the rules', () => {
    const loose = { r: 1, w: 1, strict: false };
    const middle = { r: 2, w: 1, strict: false };
    const tight = { r: 2, w: 2, strict: true };
    const rules = [
      { prefix: 'user:', policy: middle },
      { prefix: 'user:lock:', policy: tight },
      { prefix: 'u', policy: loose },
    ];
    for (const order of [rules, [...rules].reverse()]) {
      const table = new PolicyTable(POLICY_PRESETS['PA/EC'], order, 3);
      assert.equal(table.policyOf('user:lock:1'), tight);
      assert.equal(table.policyOf('user:1'), middle);
      assert.equal(table.policyOf('ux'), loose);
      assert.equal(table.policyOf('x'), POLICY_PRESETS['PA/EC']);
      assert.equal(table.policyOf(''), POLICY_PRESETS['PA/EC']);
    }
  });

  test('a rule with the empty prefix is the default', () => {
    const policy = { r: 3, w: 1, strict: false };
    const table = new PolicyTable(POLICY_PRESETS['PA/EC'], [{ prefix: '', policy }], 3);
    assert.equal(table.fallback, policy);
    assert.equal(table.policyOf('x'), policy);
  });

  test('R and W outside 1 to N are refused with the reason', () => {
    for (const [r, w] of [
      [0, 1],
      [1, 4],
      [1.5, 1],
      [1, Number.NaN],
    ] as const) {
      assert.throws(
        () => checkPolicy({ r, w, strict: false }, 3),
        (error) => error instanceof CodedError && error.code === 'invalid' && /N=3/.test(error.message),
      );
      const rule = { prefix: 'x', policy: { r, w, strict: false } };
      assert.throws(() => new PolicyTable(POLICY_PRESETS['PA/EC'], [rule], 3), CodedError);
    }
  });

  test('presets fit any N, and the quorums of those that promise to overlap do', () => {
    for (let n = 1; n <= 7; n++) {
      for (const preset of ['PA/EL', 'PA/EC', 'PC/EL', 'PC/EC'] as const) {
        checkPolicy(policyFor(preset, n), n);
      }
      assert.equal(isLinearizable(policyFor('PC/EC', n), n), true);
      assert.equal(isLinearizable(policyFor('PA/EC', n), n), false);
    }
    assert.equal(isLinearizable(policyFor('PC/EL', 3), 3), false);
  });
});

describe('ReplyTime', () => {
  test('settles near the 95th percentile, and follows when the times change', () => {
    const prng = new Prng(7);
    const time = new ReplyTime();
    assert.equal(time.p95Ms, 0);
    // Exponential times: the 95th percentile is mean * ln 20.
    for (const meanMs of [1, 20, 0.5]) {
      for (let i = 0; i < 5000; i++) time.sample(-meanMs * Math.log(1 - prng.unit()));
      let sum = 0;
      for (let i = 0; i < 5000; i++) {
        time.sample(-meanMs * Math.log(1 - prng.unit()));
        sum += time.p95Ms;
      }
      const expected = meanMs * Math.log(20);
      const mean = sum / 5000;
      assert.ok(mean > expected * 0.7 && mean < expected * 1.3, `${mean} for a p95 of ${expected}`);
    }
  });

  test('never below a small positive floor, so that the delay never is zero or worse', () => {
    const time = new ReplyTime();
    for (let i = 0; i < 1000; i++) time.sample(0);
    time.sample(1);
    for (let i = 0; i < 100_000; i++) time.sample(0);
    assert.ok(time.p95Ms >= 0.02);
    assert.equal(hedgeDelayMs(time.p95Ms), 2);
    assert.equal(hedgeDelayMs(70), 70);
  });
});

describe('HedgeBudget', () => {
  test('hedges are never more than one, plus the share of the reads', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0.01, 0.05, 0.25, 1),
        fc.array(fc.boolean(), { maxLength: 500 }),
        (share, steps) => {
          const budget = new HedgeBudget(share);
          let reads = 0;
          let hedges = 0;
          for (const isRead of steps) {
            if (isRead) {
              reads++;
              budget.earn();
            } else if (budget.spend()) hedges++;
            assert.ok(hedges <= 1 + reads * share + 1e-9, `${hedges} hedges for ${reads} reads`);
          }
        },
      ),
    );
  });

  test('a share of 0 allows none; a long calm saves up a bounded burst', () => {
    assert.equal(new HedgeBudget(0).spend(), false);
    const budget = new HedgeBudget(0.05);
    for (let i = 0; i < 1_000_000; i++) budget.earn();
    let burst = 0;
    while (budget.spend()) burst++;
    assert.ok(burst >= 99 && burst <= 101, `${burst}`);
  });
});
