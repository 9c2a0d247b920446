/**
 * Quorums of pages of the topology that follow each other, all of them: whatever makes a write acknowledged by one
 * page is met by whatever makes a read by the page before, the same, or the one after.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Plan, PlanBook } from '../../../src/coordinator/plan.ts';
import { holdersNeeded, type Policy, quorumOf } from '../../../src/coordinator/policy.ts';
import { WriteRoll } from '../../../src/coordinator/write-roll.ts';
import type { NodeId } from '../../../src/ports/transport.ts';
import { type Owners, pagesOf } from '../../support/two-lists.ts';

const shapes: readonly Owners[] = [
  { old: ['n1', 'n2', 'n3'], next: ['n2', 'n3', 'n4'] },
  { old: ['n1', 'n2', 'n3'], next: ['n3', 'n4', 'n5'], members: ['n1', 'n2', 'n3', 'n4', 'n5'] },
  {
    old: ['n1', 'n2', 'n3'],
    next: ['n4', 'n5', 'n6'],
    members: ['n1', 'n2', 'n3', 'n4', 'n5', 'n6'],
  },
  { old: ['n1', 'n2', 'n3'], next: ['n2', 'n3'], members: ['n1', 'n2', 'n3'] },
  { old: ['n1', 'n2', 'n3'], next: ['n3'], members: ['n1', 'n2', 'n3'] },
  { old: ['n1'], next: ['n1', 'n2', 'n3'], members: ['n1', 'n2', 'n3'] },
];

/** All with R+W>N. */
const policies: readonly Policy[] = [
  { r: 2, w: 2, strict: true },
  { r: 1, w: 3, strict: true },
  { r: 3, w: 1, strict: true },
  { r: 3, w: 3, strict: true },
];

function subsets(ids: readonly NodeId[]): NodeId[][] {
  return Array.from({ length: 2 ** ids.length }, (_, bits) => ids.filter((_id, at) => bits & (1 << at)));
}

function plansOf(owners: Owners): Plan[] {
  const liveness = { isLive: () => true, zoneOf: () => 'z' };
  // Seen from nobody who takes part: all owners are others.
  return pagesOf(owners).map((page) => new PlanBook('n9', page, liveness).of(0));
}

/** What acknowledgements of these nodes come to. */
function isAcknowledged(plan: Plan, { w }: Policy, by: readonly NodeId[]): boolean {
  const roll = new WriteRoll(plan, quorumOf(w, plan.replicas.length), quorumOf(w, plan.otherLength));
  for (const id of plan.targets) roll.sent(id);
  for (const id of by) {
    assert.equal(roll.heard(id), true);
    roll.storedBy(id);
  }
  return roll.state === 'reached';
}

function meets(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.some((id) => b.includes(id));
}

describe('pages that follow each other', () => {
  test('every read quorum of one meets every write quorum of the other', () => {
    let pairs = 0;
    for (const owners of shapes) {
      const plans = plansOf(owners);
      for (const policy of policies) {
        for (const [at, writing] of plans.entries()) {
          const writes = subsets(writing.targets).filter((by) => isAcknowledged(writing, policy, by));
          assert.ok(writes.length > 0);
          for (const reading of plans.slice(Math.max(0, at - 1), at + 2)) {
            const r = quorumOf(policy.r, reading.replicas.length);
            for (const asked of subsets(reading.replicas).filter(({ length }) => length === r)) {
              for (const by of writes) {
                assert.ok(meets(asked, by), `${asked} reads past what ${by} hold`);
                pairs++;
              }
            }
          }
        }
      }
    }
    assert.ok(pairs > 1500, `${pairs} pairs`);
  });

  test('what a linearizable read shows is held by enough for every reader on a page beside', () => {
    for (const owners of shapes) {
      const plans = plansOf(owners);
      for (const policy of policies) {
        for (const [at, showing] of plans.entries()) {
          const { targets, replicas, otherMask } = showing;
          const lists = [replicas, targets.filter((_, bit) => otherMask & (1 << bit))].filter(
            (l) => l.length > 0,
          );
          const isHeld = (by: readonly NodeId[]): boolean =>
            lists.every(
              (list) => list.filter((id) => by.includes(id)).length >= holdersNeeded(policy, list.length),
            );
          for (const reading of plans.slice(Math.max(0, at - 1), at + 2)) {
            const r = quorumOf(policy.r, reading.replicas.length);
            for (const asked of subsets(reading.replicas).filter(({ length }) => length === r)) {
              for (const by of subsets(targets).filter(isHeld))
                assert.ok(meets(asked, by), `${asked} and ${by}`);
            }
          }
        }
      }
    }
  });

  test('pages further apart do not go together: that is why no two nodes ever are', () => {
    const [before, , , after] = plansOf(shapes[2]!);
    const policy = policies[0]!;
    assert.equal(isAcknowledged(before!, policy, ['n1', 'n2']), true);
    assert.equal(meets(['n1', 'n2'], after!.replicas), false);
  });
});

describe('the roll of a write', () => {
  test('a new roll keeps who holds the row, and who was sent it; a stand-in counts for whom it stands in', () => {
    const [steady, copy] = plansOf({ ...shapes[0]!, members: ['n1', 'n2', 'n3', 'n4', 'n5'] });
    const before = new WriteRoll(steady!, 2, 0);
    before.sent('n1');
    before.sent('n2');
    before.heard('n1');
    before.storedBy('n1');
    before.standsIn('n5', 'n3');
    before.sent('n5');
    before.lose();
    assert.equal(before.isConfusedBy(copy!), false);
    const after = new WriteRoll(copy!, 2, 2);
    const unknown = copy!.targets.filter((id) => !after.takeOver(id, before, false));
    assert.deepEqual(unknown, ['n4']);
    after.sent('n4');
    assert.deepEqual([...after.waiting].sort(), ['n2', 'n4', 'n5']);
    assert.equal(after.acknowledgements, 1);
    assert.equal(after.acknowledgementsLeast, 0);
    after.heard('n5');
    assert.equal(after.storedBy('n5'), 'waiting', 'for n3, who is on both lists: two, and one');
    after.heard('n2');
    assert.equal(after.storedBy('n2'), 'reached');
    assert.equal(after.reborn('n2'), true);
    assert.equal(after.state, 'waiting');
    assert.equal(after.settled, false);
    after.heard('n4');
    assert.equal(after.storedBy('n4'), 'reached');
  });
});
