/** Single steps of the acceptor and the proposer: what must be durable, what counts, and what is taken over. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ACCEPTOR_NEW, Acceptor, type Vote } from '../../../src/paxos/acceptor.ts';
import { type Ballot, compareBallots } from '../../../src/paxos/ballot.ts';
import { Proposer } from '../../../src/paxos/proposer.ts';

const own = Uint8Array.of(1);
const theirs = Uint8Array.of(2);
const others = Uint8Array.of(3);

const ballot = (round: number, node = 'p', draw = 7): Ballot => ({ round, node, draw });
const vote = (round: number, value: Uint8Array): Vote => ({ ballot: ballot(round, 'q'), value });

function proposer(...mutants: string[]): Proposer {
  const options = { node: 'p', acceptors: ['a', 'b', 'c'], value: own };
  return new Proposer({ ...options, mutants: new Set(mutants) });
}

test('ballots are ordered by round, then by name, then by what was drawn', () => {
  const sorted = [ballot(1, 'a', 9), ballot(1, 'b', 1), ballot(1, 'b', 2), ballot(2, 'a', 0)];
  assert.deepEqual(sorted.toReversed().sort(compareBallots), sorted);
});

describe('an acceptor', () => {
  test('asks for its promise to be stored, and again while it is not', () => {
    const acceptor = new Acceptor(ACCEPTOR_NEW);
    const first = acceptor.prepare(ballot(1));
    assert.deepEqual(first.answer, { kind: 'promised', ballot: ballot(1), vote: undefined });
    assert.equal(first.mustStore, true);
    assert.equal(acceptor.prepare(ballot(1)).mustStore, true);
    acceptor.stored(first.state);
    assert.equal(acceptor.prepare(ballot(1)).mustStore, false);
  });

  test('is not content with an older state on the disk', () => {
    const acceptor = new Acceptor(ACCEPTOR_NEW);
    const first = acceptor.prepare(ballot(1));
    const second = acceptor.prepare(ballot(2));
    acceptor.stored(first.state);
    assert.equal(acceptor.prepare(ballot(2)).mustStore, true);
    acceptor.stored(second.state);
    assert.equal(acceptor.prepare(ballot(2)).mustStore, false);
  });

  test('refuses what is below its promise, votes at it and above, and tells its highest vote', () => {
    const acceptor = new Acceptor(ACCEPTOR_NEW);
    acceptor.prepare(ballot(5));
    assert.deepEqual(acceptor.prepare(ballot(4)).answer, {
      kind: 'refused',
      ballot: ballot(4),
      promised: ballot(5),
    });
    assert.equal(acceptor.accept(ballot(4), own).answer.kind, 'refused');
    assert.equal(acceptor.accept(ballot(5), own).answer.kind, 'accepted');
    assert.equal(acceptor.accept(ballot(8), theirs).answer.kind, 'accepted');
    assert.equal(acceptor.accept(ballot(7), own).answer.kind, 'refused');
    const { answer } = acceptor.prepare(ballot(9));
    assert.deepEqual(answer, {
      kind: 'promised',
      ballot: ballot(9),
      vote: { ballot: ballot(8), value: theirs },
    });
  });
});

describe('a proposer', () => {
  test('puts forward its own value when a majority never voted', () => {
    const herald = proposer();
    const ours = herald.attempt(1);
    assert.equal(herald.promised('a', ours, undefined), false);
    assert.deepEqual(herald.awaited, ['b', 'c']);
    assert.equal(herald.promised('c', ours, undefined), true);
    assert.equal(herald.phase, 'accept');
    assert.equal(herald.isOwn, true);
    assert.equal(herald.accepted('a', ours), false);
    assert.equal(herald.accepted('c', ours), true);
    assert.equal(herald.phase, 'chosen');
    assert.equal(herald.value, own);
  });

  test('takes up the vote of the highest ballot it hears of, in whatever order', () => {
    const votes = [vote(3, theirs), vote(2, others)];
    for (const [first, second] of [votes, votes.toReversed()]) {
      const herald = proposer();
      const ours = herald.attempt(1);
      herald.promised('a', ours, first);
      assert.equal(herald.promised('b', ours, second), true);
      assert.equal(herald.value, theirs);
      assert.equal(herald.isOwn, false);
    }
    const wrong = proposer('paxos-lower-adopted');
    const ours = wrong.attempt(1);
    wrong.promised('a', ours, votes[0]);
    wrong.promised('b', ours, votes[1]);
    assert.equal(wrong.value, others);
  });

  test('counts an acceptor once, no stranger, and no answer to an older ballot', () => {
    const herald = proposer();
    const older = herald.attempt(1);
    const ours = herald.attempt(2);
    assert.equal(herald.promised('a', ours, undefined), false);
    assert.equal(herald.promised('a', ours, undefined), false);
    assert.equal(herald.promised('x', ours, undefined), false);
    assert.equal(herald.promised('b', older, undefined), false);
    assert.equal(herald.promised('b', ours, undefined), true);
    assert.equal(herald.accepted('a', ours), false);
    assert.equal(herald.accepted('a', ours), false);
    assert.equal(herald.accepted('x', ours), false);
    assert.equal(herald.accepted('b', older), false);
    // What is left of the first phase says nothing in the second.
    assert.equal(herald.promised('c', ours, undefined), false);
    assert.equal(herald.accepted('c', ours), true);
  });

  test('gives an attempt up when too many refuse, and goes above what it heard of', () => {
    const herald = proposer();
    const ours = herald.attempt(1);
    assert.equal(herald.refused('x', ours, ballot(1000)), false);
    assert.equal(herald.refused('a', ours, ballot(9)), false);
    assert.equal(herald.refused('a', ours, ballot(9)), false);
    assert.equal(herald.refused('b', ours, ballot(4)), true);
    assert.equal(herald.phase, 'idle');
    assert.equal(herald.promised('c', ours, vote(1, theirs)), false);
    assert.equal(herald.attempt(2).round, 10);
    assert.equal(herald.value, own);
  });

  test('of one is its own majority', () => {
    const herald = new Proposer({ node: 'p', acceptors: ['p'], value: own });
    const ours = herald.attempt(1);
    assert.equal(herald.promised('p', ours, undefined), true);
    assert.equal(herald.accepted('p', ours), true);
  });
});
