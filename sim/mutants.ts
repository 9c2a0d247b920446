/**
 * Mutants: named bugs, switched on one at a time, that the oracles must catch. A suite that lets a
 * known bug pass proves nothing about unknown ones.
 *
 * Each mutant comes with the kind of plan that reveals it and a budget of seeds. The same plans are
 * run without the mutant too, and must pass: else it is the harness that fails, not the mutant.
 */

import { drawPlan, type PlanBias } from './plan.ts';
import { runPlan } from './run.ts';

export interface Mutant {
  readonly name: string;
  /** The bug, in words. */
  readonly bug: string;
  readonly bias: PlanBias;
  /** Seeds within which it must be caught. */
  readonly seedsMax: number;
}

const REGISTERS = { read: 1, write: 1 } as const;

/** Three nodes, linearizable, one or two hot keys, many requests at once. */
const STRICT: PlanBias = {
  nodes: [3],
  n: 3,
  r: 2,
  w: 2,
  strict: true,
  keys: 2,
  ops: 300,
  opKinds: REGISTERS,
};
const LOOSE: PlanBias = { ...STRICT, strict: false, keys: 4 };
/** One replica a key, of four nodes: while it is away, a hint is the only copy. */
const ONE_COPY: PlanBias = {
  ...LOOSE,
  nodes: [4],
  n: 1,
  r: 1,
  w: 1,
  keys: 6,
  opKinds: { read: 1, write: 2 },
};
/** Deletes whose tombstones are collected within the run. */
const DELETES: PlanBias = {
  ...LOOSE,
  opKinds: { write: 1, delete: 1 },
  durationMs: 6000,
  upkeep: { repairIntervalMs: 300, horizonIntervalMs: 100, horizonMarginMs: 100, lingerMs: 3000 },
};
/** Keys under policy `siblings`, hot enough for concurrent writes. */
const SIBLINGS: PlanBias = {
  ...LOOSE,
  siblings: true,
  keys: 3,
  ops: 300,
  opKinds: { read: 3, write: 3, delete: 0.5 },
};
const CUTS = ['cut', 'cut-one-way', 'isolate', 'break'] as const;
/** Members come and go, one replica a key: what a change leaves behind is nowhere else. */
const MOVES: PlanBias = {
  ...STRICT,
  n: 1,
  r: 1,
  w: 1,
  keys: 12,
  ops: 400,
  durationMs: 1500,
  calm: false,
  churn: true,
  changes: [2, 4],
  changeKinds: ['join', 'leave'],
  faultsNearChanges: true,
};
/** Rows are where they were written: nobody hands them over or compares. */
const NO_UPKEEP = { hintBytesMax: 1, repairIntervalMs: 600_000 } as const;

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'quorum-write-one-short',
    bug: 'a write answers after W-1 acknowledgements',
    bias: { ...STRICT, r: 1, w: 3, faultKinds: [...CUTS, 'slow'], faults: [4, 10] },
    seedsMax: 60,
  },
  {
    name: 'quorum-read-one-short',
    bug: 'a read answers after R-1 replies',
    bias: { ...STRICT, faultKinds: [...CUTS, 'slow'], faults: [4, 10] },
    seedsMax: 60,
  },
  {
    name: 'ack-before-commit',
    bug: 'a replica acknowledges before the row is durable',
    // One replica a key: nobody else has what it acknowledged.
    bias: {
      ...LOOSE,
      n: 1,
      r: 1,
      w: 1,
      opKinds: { read: 1, write: 3 },
      durability: 'always',
      faultKinds: ['power', 'disk-slow'],
      faults: [8, 14],
    },
    seedsMax: 60,
  },
  {
    name: 'dot-reused',
    bug: 'after a restart the clock and the counters start over',
    bias: { ...LOOSE, faultKinds: ['crash', 'stop'], faults: [3, 6] },
    seedsMax: 60,
  },
  {
    name: 'merge-last-arrival',
    bug: 'the row that arrives last wins, whatever its stamp',
    bias: {
      ...LOOSE,
      keys: 12,
      opKinds: { write: 1 },
      bursts: 5,
      faultKinds: ['slow', 'disk-slow'],
      faults: [3, 8],
    },
    seedsMax: 60,
  },
  {
    name: 'repair-skipped',
    bug: 'a read repairs nobody',
    // Neither hints nor anti-entropy make up for it.
    bias: {
      ...LOOSE,
      upkeep: { hintBytesMax: 1, repairIntervalMs: 600_000 },
      faultKinds: [...CUTS, 'crash'],
      faults: [4, 8],
    },
    seedsMax: 60,
  },
  {
    name: 'repair-not-blocking',
    bug: 'a linearizable read answers before what it read is on enough replicas',
    bias: {
      ...STRICT,
      r: 1,
      w: 3,
      keys: 1,
      opKinds: { read: 3, write: 1 },
      faultKinds: [...CUTS, 'slow'],
      faults: [4, 8],
    },
    seedsMax: 60,
  },
  {
    name: 'write-without-learning',
    bug: 'a linearizable write does not learn the greatest stamp first',
    bias: { ...STRICT, skewMs: 200, faultKinds: ['cut', 'isolate'], faults: [0, 3] },
    seedsMax: 60,
  },
  {
    name: 'fail-after-send',
    bug: 'a write that was sent and did not reach its quorum answers fail',
    bias: { ...LOOSE, faultKinds: [...CUTS, 'crash'], faults: [5, 10] },
    seedsMax: 60,
  },
  {
    name: 'floor-forgotten',
    bug: 'rows from before a flush that arrive after it come alive',
    bias: {
      ...LOOSE,
      opKinds: { read: 1, write: 2, flush: 0.05 },
      faultKinds: [...CUTS, 'crash'],
      faults: [3, 8],
    },
    seedsMax: 60,
  },
  {
    name: 'frame-unchecked',
    bug: 'the checksum of a frame is not looked at',
    bias: { ...STRICT, faultKinds: ['corrupt'], faults: [12, 20] },
    seedsMax: 60,
  },
  {
    name: 'shared-read-stale',
    bug: 'a read joins a flight that began before it in an earlier turn',
    bias: { ...STRICT, keys: 1, nodes: [3], faultKinds: ['slow'], faults: [2, 6], turnUs: 0 },
    seedsMax: 60,
  },
  {
    name: 'hlc-not-observed',
    bug: 'stamps seen elsewhere do not move the clock on',
    bias: { ...LOOSE, r: 1, w: 3, skewMs: 200, faultKinds: ['cut', 'isolate'], faults: [0, 3] },
    seedsMax: 60,
  },
  {
    name: 'frame-sequence-unchecked',
    bug: 'a doubled or late frame is read like any other',
    // A request forwarded twice is done twice.
    bias: { ...STRICT, nodes: [5], faultKinds: ['double', 'reorder'], faults: [6, 12] },
    seedsMax: 60,
  },
  {
    name: 'hint-deleted-unacknowledged',
    bug: 'a hint is deleted when its row is sent, not when the target has it',
    bias: { ...ONE_COPY, faultKinds: ['isolate', 'disk-full', 'crash'], faults: [10, 16] },
    seedsMax: 60,
  },
  {
    name: 'hint-dropped',
    bug: 'hints are dropped when their node starts again, and at their bound',
    bias: { ...ONE_COPY, faultKinds: ['isolate', 'crash'], faults: [4, 10] },
    seedsMax: 60,
  },
  {
    name: 'strict-counts-hint',
    bug: 'under a strict policy a write counts the acknowledgements of stand-ins',
    bias: { ...STRICT, nodes: [5], r: 1, w: 3, keys: 1, faultKinds: ['cut', 'isolate'], faults: [4, 10] },
    seedsMax: 60,
  },
  {
    name: 'amnesiac-answers',
    bug: 'a node that lost its disk answers reads as if it remembered',
    bias: {
      ...STRICT,
      keys: 1,
      ops: 600,
      upkeep: { hintBytesMax: 1, repairIntervalMs: 600_000 },
      faultKinds: ['wipe', 'isolate'],
      faults: [10, 16],
    },
    seedsMax: 60,
  },
  {
    name: 'actor-kept-after-loss',
    bug: 'a node on an older copy of its disk goes on writing as the actor it was',
    bias: { ...LOOSE, faultKinds: ['restore', 'crash'], faults: [3, 6] },
    seedsMax: 60,
  },
  {
    name: 'damaged-row-served',
    bug: 'a row is read without looking at its checksum',
    bias: { ...LOOSE, faultKinds: ['rot'], faults: [4, 10] },
    seedsMax: 60,
  },
  {
    name: 'sync-skips-older',
    bug: 'anti-entropy takes rows the peer has newer, and does not give those it has newer itself',
    bias: { ...LOOSE, upkeep: { hintBytesMax: 1 }, faultKinds: ['isolate', 'crash'], faults: [4, 8] },
    seedsMax: 60,
  },
  {
    name: 'tombstone-dropped-early',
    bug: 'the horizon rises without proof that all replicas are equal, and past hints',
    bias: { ...DELETES, keys: 8, ops: 300, faultKinds: ['isolate', 'crash'], faults: [4, 8] },
    seedsMax: 60,
  },
  {
    name: 'horizon-not-caught-up',
    bug: 'rows that were deleted and collected elsewhere are kept by a node that comes back with them',
    // A copy of a disk is 2 s old at most: in a long run more deletes fall between a copy and its return.
    bias: {
      ...DELETES,
      nodes: [3],
      n: 3,
      skewMs: 0,
      keys: 60,
      ops: 150,
      durationMs: 12_000,
      faultKinds: ['restore'],
      faults: [2, 4],
    },
    seedsMax: 60,
  },
  {
    name: 'sibling-dropped',
    bug: 'of two rows of siblings a replica keeps the later and does not merge them',
    bias: { ...SIBLINGS, faultKinds: [...CUTS], faults: [1, 4] },
    seedsMax: 30,
  },
  {
    name: 'sibling-laid-blindly',
    bug: 'a replica lays a row of siblings over what it holds, as if it were a last-write-wins row',
    bias: { ...SIBLINGS, faultKinds: [...CUTS, 'slow'], faults: [3, 8] },
    seedsMax: 30,
  },
  {
    name: 'sibling-context-ignored',
    bug: 'a write does not replace what its context says was seen',
    bias: { ...SIBLINGS, faultKinds: [...CUTS], faults: [0, 3] },
    seedsMax: 30,
  },
  {
    name: 'sibling-stand-in-continues',
    bug: 'a stand-in writes as the same actor again, though its hint was handed over',
    bias: {
      ...SIBLINGS,
      nodes: [5],
      n: 2,
      r: 1,
      w: 1,
      keys: 8,
      ops: 500,
      opKinds: { read: 0.3, write: 5 },
      faultKinds: ['isolate'],
      faults: [12, 20],
      durationMs: 6000,
    },
    seedsMax: 30,
  },
  {
    name: 'joint-write-one-list',
    bug: 'while members change a write is acknowledged when W of the list that reads ask hold it',
    bias: { ...MOVES, faultKinds: ['disk-full'], faults: [6, 12], upkeep: NO_UPKEEP },
    seedsMax: 60,
  },
  {
    name: 'copy-from-one',
    bug: 'a node that gains a partition asks one of its old owners, not all',
    bias: { ...MOVES, n: 2, r: 2, keys: 30, faultKinds: ['disk-full'], faults: [6, 12], upkeep: NO_UPKEEP },
    seedsMax: 100,
  },
  {
    name: 'copy-before-all-know',
    bug: 'a node that gains a partition compares before all members write to it as well',
    // A node whose disk is full cannot note the epoch, and goes by the one before.
    bias: { ...MOVES, keys: 20, durability: 'always', faultKinds: ['disk-full'], faults: [6, 12] },
    seedsMax: 100,
  },
  {
    name: 'epoch-skips-adoption',
    bug: 'the next epoch is proposed before every member knows the one before it',
    bias: { ...MOVES, faultKinds: ['isolate', 'cut', 'delay'], faults: [3, 8] },
    seedsMax: 60,
  },
  {
    name: 'hint-of-gone-dropped',
    bug: 'hints for a member that will not own their rows are dropped, not addressed to those who will',
    // Many keys: what a later write replaces is not missed.
    bias: {
      ...MOVES,
      nodes: [4],
      strict: false,
      keys: 120,
      ops: 240,
      opKinds: { write: 1 },
      faultKinds: ['stop', 'isolate'],
      faults: [6, 12],
      changes: [1, 2],
      changeKinds: ['leave'],
    },
    seedsMax: 60,
  },
];

export interface MutantVerdict {
  readonly mutant: Mutant;
  /** The seed that caught it, and what was found. */
  readonly caughtBy: number | undefined;
  readonly finding: string;
  /** Seeds whose plans fail without the mutant, among those run. */
  readonly falseAlarms: readonly number[];
  readonly seedsRun: number;
}

/** Hunts one mutant: seeds from 1 until it is caught, and the same plans without it. */
export function huntMutant(mutant: Mutant): MutantVerdict {
  const mutants = new Set([mutant.name]);
  const falseAlarms: number[] = [];
  for (let seed = 1; seed <= mutant.seedsMax; seed++) {
    const plan = drawPlan(seed, mutant.bias);
    if (runPlan(plan).findings.length > 0) falseAlarms.push(seed);
    const { findings } = runPlan(plan, { mutants });
    if (findings.length === 0) continue;
    const { oracle, text } = findings[0]!;
    const finding = `${oracle}: ${text.split('\n')[0]}`;
    return { mutant, caughtBy: seed, finding, falseAlarms, seedsRun: seed };
  }
  return { mutant, caughtBy: undefined, finding: '', falseAlarms, seedsRun: mutant.seedsMax };
}

/** @throws Error for a name that is no mutant. */
export function mutantNamed(name: string): Mutant {
  const mutant = MUTANTS.find((one) => one.name === name);
  if (mutant === undefined) {
    throw new Error(`no mutant ${name}; there are: ${MUTANTS.map((one) => one.name).join(', ')}`);
  }
  return mutant;
}
