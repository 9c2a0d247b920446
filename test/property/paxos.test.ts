/**
 * Paxos by its own model: some thousand random runs of `test/support/paxos-world.ts`, with messages lost,
 * doubled and late, acceptors that crash and know only what was durable, proposers that forget themselves.
 * Agreement, validity, and an end once the storm is over; and each way to get it wrong is seen.
 */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CodedError } from '../../src/base/errors.ts';
import { type AcceptorState, decodeAcceptor, encodeAcceptor } from '../../src/paxos/acceptor.ts';
import type { Ballot } from '../../src/paxos/ballot.ts';
import { type PaxosOutcome, PaxosWorld } from '../support/paxos-world.ts';

/** The runs of each test: a mutant must be seen within as many as the true one is clean over. */
const seedCount = 4000;

function run(seed: number, mutants: readonly string[] = []): PaxosOutcome {
  const acceptorCount = seed % 2 === 0 ? 3 : 5;
  const proposerCount = seed % 3 === 0 ? 3 : 2;
  return new PaxosWorld({
    seed,
    acceptorCount,
    proposerCount,
    stepCount: 400,
    mutants: new Set(mutants),
  }).run();
}

test('one value is chosen, one that was proposed, and everybody comes to know it', () => {
  let refusals = 0;
  let adoptions = 0;
  let crashes = 0;
  for (let seed = 0; seed < seedCount; seed++) {
    const outcome = run(seed);
    assert.equal(outcome.fault, undefined, `seed ${seed}`);
    refusals += outcome.refusals;
    adoptions += outcome.adoptions;
    crashes += outcome.crashes;
  }
  // Runs in which nothing happens would prove nothing.
  assert.ok(refusals > 10 * seedCount, `${refusals} refusals`);
  assert.ok(adoptions > seedCount, `${adoptions} values taken over`);
  assert.ok(crashes > 10 * seedCount, `${crashes} crashes`);
});

describe('each way to get it wrong is seen', () => {
  const mutants = [
    'paxos-promise-unpersisted',
    'paxos-vote-unpersisted',
    'paxos-accept-below-promise',
    'paxos-majority-wrong',
    'paxos-stranger-counted',
    'paxos-duplicate-counted',
    'paxos-older-counted',
    'paxos-lower-adopted',
    'paxos-own-value',
    'ballot-reused',
    'wrong-epoch',
  ];
  for (const mutant of mutants) {
    test(mutant, () => {
      let caughtAt = -1;
      for (let seed = 0; seed < seedCount && caughtAt < 0; seed++) {
        if (run(seed, [mutant]).fault !== undefined) caughtAt = seed;
      }
      assert.ok(caughtAt >= 0, `not seen in ${seedCount} runs`);
    });
  }
});

const ballotArbitrary: fc.Arbitrary<Ballot> = fc.record(
  {
    round: fc.integer({ min: 1, max: 0xffff_ffff }),
    node: fc.string({ maxLength: 60 }),
    draw: fc.integer({ min: 0, max: 0xffff_ffff }),
  },
  { noNullPrototype: true },
);

const stateArbitrary: fc.Arbitrary<AcceptorState> = fc.record(
  {
    promised: fc.option(ballotArbitrary, { nil: undefined }),
    vote: fc.option(
      fc.record(
        { ballot: ballotArbitrary, value: fc.uint8Array({ maxLength: 50 }) },
        { noNullPrototype: true },
      ),
      { nil: undefined },
    ),
  },
  { noNullPrototype: true },
);

test('what an acceptor remembers, written down and read again, is the same', () => {
  fc.assert(
    fc.property(stateArbitrary, (state) => {
      assert.deepEqual(decodeAcceptor(encodeAcceptor(state)), state);
    }),
  );
});

test('damaged memory is an error, never an acceptor that promised nothing', () => {
  const isCorrupt = (error: unknown): boolean => error instanceof CodedError && error.code === 'corrupt';
  fc.assert(
    fc.property(stateArbitrary, fc.nat(), fc.integer({ min: 1, max: 255 }), (state, at, flip) => {
      const note = encodeAcceptor(state);
      note[at % note.length]! ^= flip;
      assert.throws(() => decodeAcceptor(note), isCorrupt);
      assert.throws(() => decodeAcceptor(note.subarray(0, at % note.length)), isCorrupt);
    }),
  );
});
