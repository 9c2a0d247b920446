/** The verdict: each finding at its limit and not below, the worst first, and each in words that say what to do. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ChangeStatus, StatusReason } from '../../../src/node/status.ts';
import {
  CHANGE_QUIET_MS,
  isSettled,
  LAG_LIMIT_MS,
  reasonsOf,
  SIBLINGS_REFUSED_MS,
  verdictOf,
} from '../../../src/node/verdict.ts';
import { type AnswerDraft, type Draft, Statuses } from '../../support/statuses.ts';

const trusted = { clockDoubted: false };

/** The codes found by n1 after `change`. */
function found(change: (own: AnswerDraft, cluster: Statuses) => unknown, context = trusted): string {
  const cluster = new Statuses();
  change(cluster.of('n1'), cluster);
  const reasons = reasonsOf(cluster.of('n1'), context);
  for (const reason of reasons) checkWords(reason);
  return reasons.map(({ code, severity, subject }) => `${code} ${severity} ${subject}`.trim()).join(', ');
}

function checkWords({ what, meaning, action }: StatusReason): void {
  for (const words of [what, meaning, action]) {
    assert.ok(words.length > 10 && !words.endsWith('.') && !/undefined|NaN|null/.test(words), words);
  }
}

describe('verdict', () => {
  it('finds nothing in a cluster that is well', () => {
    assert.equal(
      found(() => {}),
      '',
    );
    assert.equal(verdictOf([]), 'well');
  });

  it('storage: failed and full are critical', () => {
    const failed = (own: AnswerDraft): unknown =>
      Object.assign(own.storage, { state: 'failed', failure: 'fsync: EIO' });
    assert.equal(found(failed), 'storage-failed critical n1');
    assert.equal(
      found((own) => Object.assign(own.storage, { state: 'full' })),
      'storage-full critical n1',
    );
  });

  it('a doubted clock and a lost quorum are critical', () => {
    assert.equal(
      found(() => {}, { clockDoubted: true }),
      'clock-doubted critical n1',
    );
    assert.equal(
      found((own) => Object.assign(own.partitions, { withoutQuorum: 1 })),
      'quorum-lost critical',
    );
    assert.equal(
      found((own) => Object.assign(own.partitions, { onStandIns: 1 })),
      'quorum-on-stand-ins degraded',
    );
  });

  it('fewer nodes than N keep fewer copies, until the missing ones own their share', () => {
    const only = (count: number, change: (own: AnswerDraft) => unknown = () => {}): StatusReason[] => {
      const { answers } = new Statuses(count);
      change(answers[0]!);
      const reasons = [...reasonsOf(answers[0]!, trusted)];
      for (const reason of reasons) checkWords(reason);
      return reasons;
    };
    const [one, ...more] = only(1);
    assert.deepEqual(
      [one!.code, one!.severity, more.length, verdictOf([one!])],
      ['copies-few', 'degraded', 0, 'degraded'],
    );
    assert.equal(one!.what, 'only one copy of the data is kept, on the only node; 3 are wanted');
    assert.match(one!.action, /^let 2 more nodes join .* replicas: 1$/);
    assert.match(only(2)[0]!.what, /^only 2 copies of the data are kept/);
    assert.match(only(2)[0]!.action, /^let 1 more node join /);
    assert.deepEqual(
      only(1, (own) => {
        own.replicas = 1;
      }),
      [],
    );
    assert.deepEqual(only(3), []);
    const joins = (count: number): StatusReason[] =>
      only(count, (own) => {
        own.members.at(-1)!.state = 'joining';
      });
    assert.deepEqual(joins(3), [], 'the change tells of it');
    assert.match(joins(2)[0]!.what, /^only one copy/);
    assert.match(joins(2)[0]!.action, /^let 1 more node join /);
  });

  it('a change under way: what each member still has to do, whom it waits for, and nothing of one that is quick', () => {
    const join: Draft<ChangeStatus> = {
      kind: 'join',
      nodes: ['n3'],
      gone: [],
      cancelled: false,
      phase: 'copy',
      sinceMs: 10_000,
      busy: ['n1', 'n3'],
      waitsFor: [],
      partitions: 512,
      partitionsDone: 320,
      bytes: 1000,
      bytesLeft: 600,
      bytesPerSecond: 10,
    };
    const as = (change: Partial<ChangeStatus>, member: object = {}): string =>
      found((own, cluster) => {
        own.change = { ...join, ...(change as object) };
        Object.assign(cluster.view('n1', 'n3'), member);
      });
    const says = (change: Partial<ChangeStatus>): string[] => {
      const { answers } = new Statuses();
      return reasonsOf({ ...answers[0]!, change: { ...join, ...change } }, trusted).map(({ what }) => what);
    };
    assert.equal(as({}), 'change-under-way degraded n1, change-under-way degraded n3');
    assert.deepEqual(says({}), [
      'the join of n3: n1 fetches, 320 of 512 partitions, about 1m to go',
      'the join of n3: n3 fetches what it is to hold, or checks it',
    ]);
    assert.equal(as({ sinceMs: CHANGE_QUIET_MS - 1 }), '');
    assert.equal(as({ busy: [] }), '');
    assert.equal(as({ busy: ['n3'], waitsFor: ['n3'], sinceMs: 0 }), 'change-waits degraded n3');
    // A node that is still to come holds nothing that anybody could miss.
    const joining = { state: 'joining', status: 'down', reachable: false };
    assert.equal(as({ busy: ['n3'], waitsFor: ['n3'] }, joining), 'change-waits degraded n3');
    assert.equal(
      as({ busy: ['n3'], waitsFor: ['n3'] }, { status: 'down', reachable: false }),
      'member-down degraded n3, change-waits degraded n3',
    );
    // Until it starts, everybody waits for it, and so for nobody else.
    const enrol = { phase: 'enrol', busy: ['n1', 'n2', 'n3'], waitsFor: ['n3'] } as const;
    assert.equal(as(enrol, joining), 'change-waits degraded n3');
    assert.deepEqual(says(enrol), ['the join of n3 waits for n3 to start']);
    assert.deepEqual(says({ ...enrol, busy: ['n2', 'n3'], waitsFor: [] }), [
      'the join of n3: n2 does not reach n3 yet',
      'the join of n3: n3 starts',
    ]);
    const one = { busy: ['n2'], phase: 'switch', partitions: 0 } as const;
    const kinds = [
      says({ ...one, kind: 'leave', nodes: ['n3'] }),
      says({ ...one, kind: 'remove', nodes: [], gone: ['n8', 'n9'] }),
      says({ ...one, kind: 'replace', nodes: ['n3'], gone: ['n9'] }),
      says({ ...one, kind: 'weight', nodes: ['n2'], cancelled: true }),
    ].map(([what]) => what!.split(': ')[0]);
    assert.deepEqual(kinds, [
      'the leaving of n3',
      'the removal of n8, n9',
      'the replacement of n9 by n3',
      'the new weight of n2, which was cancelled,',
    ]);
  });

  it('members: down, suspect, not reached, each of them degraded, and never the node itself', () => {
    const as = (id: string, change: object): string =>
      found((_, cluster) => Object.assign(cluster.view('n1', id), change));
    assert.equal(as('n2', { status: 'down', reachable: false }), 'member-down degraded n2');
    assert.equal(as('n2', { status: 'left', reachable: false }), 'member-down degraded n2');
    assert.equal(as('n2', { status: 'suspect' }), 'member-suspect degraded n2');
    assert.equal(as('n2', { reachable: false }), 'member-unreachable degraded n2');
    assert.equal(as('n1', { status: 'down', reachable: false }), '');
  });

  it('hints: a warning at 80 % of their bound, critical when no more fits and somebody has to stand in', () => {
    const kept = (share: number, onStandIns = 0): string =>
      found((own, cluster) => {
        own.partitions = { ...own.partitions, onStandIns };
        cluster.hint('n1', 'n2', { count: 1, bytes: share * own.hints.bytesMax, oldestAgeMs: 10 });
      });
    assert.equal(kept(0.79), '');
    assert.equal(kept(0.81), 'hints-filling degraded n2');
    assert.equal(kept(0.995), 'hints-full degraded n2');
    assert.equal(kept(0.995, 5), 'hints-full critical n2, quorum-on-stand-ins degraded');
  });

  it('hints that cannot be read: a finding about the node that keeps them', () => {
    const unreadable = (count: number): string =>
      found((own) => Object.assign(own.hints, { count, unreadable: count }));
    assert.equal(unreadable(0), '');
    assert.equal(unreadable(2), 'hints-unreadable degraded n1');
  });

  it('lag: only above its limit, and only of a member that is there', () => {
    const lag = (lagMs: number, status: string): string =>
      found((_, cluster) => Object.assign(cluster.view('n1', 'n2'), { lagMs, status }));
    assert.equal(lag(LAG_LIMIT_MS, 'alive'), '');
    assert.equal(lag(LAG_LIMIT_MS + 1, 'alive'), 'lag-high degraded n2');
    assert.equal(lag(LAG_LIMIT_MS + 1, 'down'), 'member-down degraded n2');
  });

  it('a node that is not whole, and a held horizon, by the name of who holds it', () => {
    assert.equal(
      found((own) =>
        Object.assign(own.past, { whole: false, state: 'lost', vouched: 3, reason: 'empty directory' }),
      ),
      'rebuilding degraded n1',
    );
    const waiting = new Statuses();
    const own = waiting.of('n1');
    Object.assign(own.past!, { whole: false, state: 'lost', vouched: 0, vouchedLoosely: 1024 });
    Object.assign(waiting.view('n1', 'n2'), { reachable: false });
    const rebuilding = reasonsOf(own, trusted).find(({ code }) => code === 'rebuilding')!;
    assert.match(rebuilding.what, /0 of 1024 partitions, and 1024 as far as the nodes in reach know them/);
    assert.match(rebuilding.action, /^start n2: /);
    for (const state of ['new', 'asking']) {
      assert.equal(
        found((own) => Object.assign(own.past, { whole: false, state })),
        'rebuilding degraded n1',
      );
    }
    const held = (own: AnswerDraft): unknown =>
      Object.assign(own.horizon, { held: 2, heldBy: 'n3', reason: 'it is away', ageMs: 5 * 3_600_000 });
    assert.equal(found(held), 'horizon-held degraded n3');
  });

  it('a member that is being made whole: what that means, instead of a lag; critical where reads fail of it', () => {
    const rebuilt = (onRebuilding: number, status = 'alive'): string =>
      found((own, cluster) => {
        Object.assign(cluster.view('n1', 'n2'), { rebuildingMs: 200_000, lagMs: 200_000, status });
        own.partitions = { ...own.partitions, onRebuilding };
      });
    assert.equal(rebuilt(0), 'rebuilding degraded n2');
    assert.equal(rebuilt(7), 'rebuilding critical n2');
    assert.equal(rebuilt(0, 'down'), 'member-down degraded n2', 'that it is away comes first');
  });

  it('puts the critical first, and takes the worst', () => {
    const both = (own: AnswerDraft, cluster: Statuses): void => {
      cluster.view('n1', 'n2').status = 'suspect';
      own.hints.bytesMax = 1000;
      own.partitions = { ...own.partitions, onStandIns: 7 };
      cluster.hint('n1', 'n3', { count: 1, bytes: 1000, oldestAgeMs: 10 });
    };
    assert.equal(
      found(both),
      'hints-full critical n3, quorum-on-stand-ins degraded, member-suspect degraded n2',
    );
    const cluster = new Statuses();
    both(cluster.of('n1'), cluster);
    assert.equal(verdictOf(reasonsOf(cluster.of('n1'), trusted)), 'critical');
  });

  it('siblings: a refusal a moment ago is critical, a key near its cap degraded, both with the prefix', () => {
    const of = (change: Partial<AnswerDraft['siblings']>): string =>
      found((own) => Object.assign(own.siblings, change));
    const refused = { refused: 7, refusedPrefix: 'cart:', refusedWhy: 'it has 32 siblings' };
    assert.equal(of({ ...refused, refusedAgoMs: SIBLINGS_REFUSED_MS }), 'siblings-full critical');
    assert.equal(of({ ...refused, refusedAgoMs: SIBLINGS_REFUSED_MS + 1 }), '');
    assert.equal(of({ valuesMost: 24, valuesMostPrefix: 'cart:' }), 'siblings-many degraded');
    assert.equal(of({ valuesMost: 23 }), '');
    assert.equal(of({ valuesMost: 1, valuesMax: 1 }), '', 'one value is no sibling');
    assert.equal(of({ actorsMost: 96, actorsMostPrefix: 'cart:' }), 'siblings-many degraded');
    assert.equal(of({ actorsMost: 95 }), '');
    const { siblings, ...rest } = new Statuses().of('n1');
    const [full] = reasonsOf({ ...rest, siblings: { ...siblings, ...refused, refusedAgoMs: 5 } }, trusted);
    assert.match(full!.what, /cart:.*32 siblings/);
    assert.match(full!.action, /DURE\.GET.*DURE\.SET.*CONTEXT/);
  });

  it('settled: every single thing outstanding contradicts it', () => {
    const settled = (change: (own: AnswerDraft, cluster: Statuses) => unknown): boolean => {
      const cluster = new Statuses();
      change(cluster.of('n1'), cluster);
      return isSettled(cluster.of('n1'));
    };
    assert.equal(
      settled(() => {}),
      true,
    );
    for (const change of [
      (own: AnswerDraft) => Object.assign(own.hints, { count: 1 }),
      (own: AnswerDraft) => Object.assign(own.hints, { loading: true }),
      (own: AnswerDraft) => Object.assign(own.repair, { differing: 1 }),
      (own: AnswerDraft) => Object.assign(own.repair, { unknown: 1 }),
      (own: AnswerDraft) => Object.assign(own.past, { whole: false }),
      (own: AnswerDraft) => Object.assign(own.past, { unheard: 1 }),
      (own: AnswerDraft) => Object.assign(own, { change: { kind: 'join' } }),
      (own: AnswerDraft) => Object.assign(own.partitions, { strays: 1 }),
      (_: AnswerDraft, cluster: Statuses) => Object.assign(cluster.view('n1', 'n3'), { reachable: false }),
      // What is not known is not settled.
      (own: AnswerDraft) => Object.assign(own, { hints: undefined }),
      (own: AnswerDraft) => Object.assign(own, { repair: undefined }),
      (own: AnswerDraft) => Object.assign(own, { past: undefined }),
    ]) {
      assert.equal(settled(change), false, String(change));
    }
  });
});
