/**
 * Faults: the catalogue of what goes wrong, and how a plan draws from it.
 *
 * The picture: a box of accidents, one drawer a kind. A run opens few drawers (swarm testing), and only
 * such whose accidents the promises bear: a fault no promise bears would prove nothing.
 *
 * Fewer than W machines of a run may be *forgetful*: their disks are replaced, put back to an older state,
 * or lose acknowledged batches with the power. Each acknowledged write is then on a disk of another.
 */

import type { Prng } from '../src/base/prng.ts';

export const FAULT_KINDS = [
  // Machines.
  'crash',
  'crash-loop',
  'power',
  'torn',
  'wipe',
  'restore',
  'stop',
  'freeze',
  'slow-cpu',
  'clock-jump',
  // Disks.
  'disk-slow',
  'disk-error',
  'disk-full',
  'rot',
  // Links.
  'cut',
  'cut-one-way',
  'isolate',
  'split',
  'flap',
  'slow',
  'delay',
  'drop',
  'double',
  'reorder',
  'corrupt',
  'break',
  'half-open',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

/** One fault: it begins at `atMs` and, if it is a state, ends after `forMs`. */
export interface PlanFault {
  readonly atMs: number;
  readonly forMs: number;
  readonly kind: FaultKind;
  readonly node: number;
  /** The other end of a link. */
  readonly peer: number;
  /**
   * Strength, by kind: a factor of slowness (`slow`, `disk-slow`), microseconds an input takes
   * (`slow-cpu`), milliseconds of delay, of skew, or since the copy of a restored disk was made; percent of
   * frames dropped, doubled or reordered; frames to damage, bits to flip, starts of a crash loop.
   */
  readonly amount: number;
}

/** What faults are drawn from. */
export interface FaultsContext {
  readonly nodes: number;
  readonly n: number;
  readonly w: number;
  readonly strict: boolean;
  readonly durability: 'always' | 'interval';
  readonly durationMs: number;
  /** Kinds to draw from, in place of a few of those allowed. */
  readonly kinds: readonly FaultKind[] | undefined;
  /** How many faults, at least and at most. */
  readonly count: readonly [number, number];
  /** Clocks jump by seconds and hours. */
  readonly wildClocks: boolean | undefined;
}

/** What nodes can do by now; faults that need it are not drawn before. */
export interface Abilities {
  /** A node that lost its memory does not answer reads it cannot vouch for, and is made whole by its peers. */
  readonly vouching: boolean;
  /** Replicas become equal without anybody reading, and damaged rows are found and mended. */
  readonly antiEntropy: boolean;
  /** A pipe into which everything vanishes is noticed although the peer is heard. */
  readonly probing: boolean;
  /** Members come and go. */
  readonly churn: boolean;
}

/** Raised as features land. Biased plans (mutants, tests) may draw anything. */
export const ABILITIES: Abilities = { vouching: true, antiEntropy: true, probing: true, churn: true };

/** Whether replicas of the plan must become equal by themselves, within the time of a recovery. */
export function isMadeEqual(plan: {
  readonly faults: readonly PlanFault[];
  readonly upkeep: { readonly repairIntervalMs: number };
}): boolean {
  return ABILITIES.antiEntropy && plan.upkeep.repairIntervalMs <= 2000 && !hasWildClocks(plan);
}

/** No clock is further off in a plan without wild clocks, milliseconds. */
const skewMaxMs = 200;

/** Kinds of which a run has a few at most. */
const kindShare = 0.25;

export function drawFaults(prng: Prng, context: FaultsContext): PlanFault[] {
  const allowed = FAULT_KINDS.filter((kind) => isAllowed(kind, context));
  const kinds = context.kinds ?? allowed.filter(() => prng.chance(kindShare));
  if (kinds.length === 0) return [];
  const forgetful = drawForgetful(prng, context);
  const count = prng.between(context.count[0], context.count[1]);
  // P6 holds whatever the clocks say; the other promises need clocks within the allowed offset.
  const wild = context.strict && (context.wildClocks ?? prng.chance(0.15));
  const faults: PlanFault[] = [];
  for (let i = 0; i < count; i++) {
    const kind = prng.pick(kinds);
    const loses = isForgetful(kind, context.durability) || kind === 'rot';
    if (loses && forgetful.length === 0) continue;
    const node = loses ? prng.pick(forgetful) : prng.below(context.nodes);
    faults.push({
      atMs: prng.below(context.durationMs),
      forMs: drawDuration(prng, kind),
      kind,
      node,
      peer: (node + 1 + prng.below(Math.max(1, context.nodes - 1))) % context.nodes,
      amount: drawAmount(prng, kind, wild),
    });
  }
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** The machines that may lose what they acknowledged: fewer than W. */
function drawForgetful(prng: Prng, { nodes, w }: FaultsContext): number[] {
  const all = Array.from({ length: nodes }, (_, i) => i);
  const chosen: number[] = [];
  for (let left = w <= 1 ? 0 : prng.between(1, w - 1); left > 0 && all.length > 0; left--) {
    chosen.push(all.splice(prng.below(all.length), 1)[0]!);
  }
  return chosen;
}

/** Whether a fault of this kind makes a machine forget what it acknowledged. */
export function isForgetful(kind: FaultKind, durability: 'always' | 'interval'): boolean {
  if (kind === 'power') return durability === 'interval';
  // A node whose engine says that its log is torn cannot vouch for what it holds, whatever was lost.
  return kind === 'torn' || kind === 'wipe' || kind === 'restore';
}

/** Whether a promise bears faults of this kind. */
export function isAllowed(
  kind: FaultKind,
  context: Pick<FaultsContext, 'n' | 'w' | 'strict' | 'durability'>,
): boolean {
  if (kind === 'half-open') return ABILITIES.probing;
  if (kind === 'rot') return ABILITIES.antiEntropy && context.w > 1 && context.n > 1;
  if (!isForgetful(kind, context.durability)) return true;
  if (context.w <= 1) return false;
  return ABILITIES.vouching || (kind === 'wipe' && !context.strict);
}

function drawDuration(prng: Prng, kind: FaultKind): number {
  // Long enough to be taken for dead, and to come back with old messages.
  if (kind === 'freeze' && prng.chance(0.2)) return prng.between(2000, 4000);
  return prng.chance(0.3) ? prng.between(1, 60) : prng.between(50, 1500);
}

function drawAmount(prng: Prng, kind: FaultKind, wild: boolean): number {
  switch (kind) {
    case 'slow':
    case 'disk-slow':
      return prng.pick([3, 10, 50]);
    case 'slow-cpu':
      return prng.pick([300, 2000, 8000]);
    case 'delay':
      return prng.pick([5, 50, 300]);
    case 'drop':
    case 'double':
    case 'reorder':
      return prng.pick([5, 20, 60]);
    case 'corrupt':
      return prng.pick([1, 1, 3, 20]);
    case 'rot':
      return prng.pick([1, 1, 3]);
    case 'crash-loop':
      return prng.between(2, 6);
    case 'restore':
      return prng.pick([50, 500, 2000]);
    case 'clock-jump':
      return wild
        ? prng.pick([-3_600_000, -5000, -1500, 700, 5000, 3_600_000])
        : prng.between(-skewMaxMs, skewMaxMs);
    case 'disk-error':
      return 1;
    default:
      return 0;
  }
}

/** Whether clocks are further off than nodes bear: rows may then be refused, and replicas differ. */
export function hasWildClocks(plan: { readonly faults: readonly PlanFault[] }): boolean {
  return plan.faults.some((fault) => fault.kind === 'clock-jump' && Math.abs(fault.amount) > skewMaxMs);
}

/** Whether a machine of the plan forgets what it acknowledged. */
export function hasForgetful(plan: {
  readonly faults: readonly PlanFault[];
  readonly durability: 'always' | 'interval';
}): boolean {
  return plan.faults.some((fault) => isForgetful(fault.kind, plan.durability));
}
