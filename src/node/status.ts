/**
 * The status of a node: everything an operator asks of it in one value that can be written as JSON. How it
 * sees the others, what it owes them, what it lacks itself, and what that means.
 *
 * The picture: a ship's log at the change of watch. Figures first, each with its unit in its name; then the
 * verdict in plain words, so that whoever takes over need not know what a hint is to know what to do.
 *
 * These are types only; `node-status.ts` fills them in and `verdict.ts` judges. `GET /status`,
 * `dure status`, INFO and the metrics all show this one value. Names are stable: add, never change.
 */

import type { NodeId } from '../ports/transport.ts';
import type { MemberState } from '../topology/member-state.ts';
import type { ChangeKind } from '../topology/topology.ts';

/**
 * - `well`: nothing is amiss that anybody would have to know of.
 * - `degraded`: everything is served; something is missing, late, or no longer spare.
 * - `critical`: some requests fail now, or will shortly.
 */
export type Verdict = 'well' | 'degraded' | 'critical';

/** Every reason there is for a verdict other than `well`. */
export type ReasonCode =
  | 'storage-failed'
  | 'storage-full'
  | 'quorum-lost'
  | 'quorum-on-stand-ins'
  | 'copies-few'
  | 'clock-doubted'
  | 'member-down'
  | 'member-suspect'
  | 'member-unreachable'
  | 'hints-full'
  | 'hints-filling'
  | 'hints-unreadable'
  | 'lag-high'
  | 'rebuilding'
  | 'siblings-full'
  | 'siblings-many'
  | 'horizon-held'
  | 'change-under-way'
  | 'change-waits';

/** One thing that is amiss. */
export interface StatusReason {
  readonly code: ReasonCode;
  readonly severity: 'degraded' | 'critical';
  /** The member it is about; empty when it is about the node that says it, or about all. */
  readonly subject: NodeId;
  /** What is the case: a clause without a full stop. */
  readonly what: string;
  /** What it means for the data and its users. */
  readonly meaning: string;
  /** What to do. */
  readonly action: string;
}

/** A member as this node sees it. */
export interface MemberStatus {
  readonly id: NodeId;
  readonly host: string;
  readonly respPort: number;
  readonly httpPort: number;
  readonly zone: string;
  /**
   * What it owns: `joining` while it fetches what it is to own after the change under way, `leaving` while it gives
   * away what it owned before.
   */
  readonly state: MemberState;
  /** `suspect`: silent, and under suspicion; `down`: taken for dead; `left`: it said goodbye. */
  readonly status: 'alive' | 'suspect' | 'down' | 'left';
  /** Whether requests are sent to it. Always true for the node itself. */
  readonly reachable: boolean;
  /** How unusual its silence is: -log10 of the chance that it is still to be heard. 0 for the node itself. */
  readonly phi: number;
  /** The life of it that this node knows; rises with each start. */
  readonly incarnation: number;
  /** Time since a sign of life, milliseconds; 0 for the node itself. */
  readonly silenceMs: number;
  /** Its wall clock less ours, milliseconds; null while it is not known. */
  readonly clockOffsetMs: number | null;
  /** 95th percentile of its reply time, milliseconds; 0 before the first. */
  readonly replyP95Ms: number;
  /** The member through which it is heard, where this node does not reach it itself; else empty. */
  readonly seenThrough: NodeId;
  /**
   * Replication lag: age of the oldest write that this node knows it to lack, milliseconds; 0 for none. Where
   * hints tell it, it is up to 4 s too high, and never too low. While it is rebuilt, at least `rebuildingMs`:
   * what it lost is older than that.
   */
  readonly lagMs: number;
  /** It lost data, and was not whole again for so long, milliseconds, as it says itself; 0 while it is whole. */
  readonly rebuildingMs: number;
}

/** Hints for one member. */
export interface HintTargetStatus {
  readonly target: NodeId;
  /** Rows kept for it. */
  readonly count: number;
  /** Keys and rows together. */
  readonly bytes: number;
  /** Age of the oldest one, milliseconds. */
  readonly oldestAgeMs: number;
  /** `waiting`: it is away. */
  readonly state: 'waiting' | 'handing-over';
  /** Handed over since start. */
  readonly delivered: number;
  /** Handed over lately, rows a second. */
  readonly rowsPerSecond: number;
}

/** Hints this node keeps for absent members. */
export interface HintsStatus {
  /** Over all members. */
  readonly count: number;
  readonly bytes: number;
  /** Of these, rows that fail their checksum, as far as they were met: kept, and never handed over. */
  readonly unreadable: number;
  /** Hints of the former life are still being counted, or a change is not durable yet: wait before trusting a 0. */
  readonly loading: boolean;
  /** Bound a member, bytes. */
  readonly bytesMax: number;
  /** Milliseconds; 0 when there is none. */
  readonly oldestAgeMs: number;
  readonly delivered: number;
  /** Members for whom there are hints, or were since start. */
  readonly targets: readonly HintTargetStatus[];
}

/** Anti-entropy, over the partitions this node holds a replica of. */
export interface RepairStatus {
  /** A round of all partitions is under way. */
  readonly running: boolean;
  /** Replicas of partitions to compare with: partitions times the other replicas of each. */
  readonly comparisons: number;
  /** Of these: equal when last compared, */
  readonly equal: number;
  /** different when last compared, and not yet made equal, */
  readonly differing: number;
  /** and not compared since start. */
  readonly unknown: number;
  /** Time since the last complete round, milliseconds; null before the first. */
  readonly roundAgeMs: number | null;
  /** How far the round under way has come, 0 to 1; 0 when there is none. */
  readonly progress: number;
  /** Rows sent to and taken from others by anti-entropy since start. */
  readonly rowsSent: number;
  readonly rowsTaken: number;
  /** Share of the node's time it took lately, 0 to 1. */
  readonly timeShare: number;
}

/** Tombstone collection in the partitions this node leads. */
export interface HorizonView {
  /** Age of the least horizon among them, milliseconds; since start if it never rose. */
  readonly ageMs: number;
  /** Partitions whose horizon is older than `alarmMs`. */
  readonly held: number;
  /** Who holds up the oldest one, and why; empty when nobody does. */
  readonly heldBy: NodeId;
  readonly reason: string;
  /** Attempts to raise a horizon that did, and that did not, since start. */
  readonly raised: number;
  readonly abandoned: number;
  /** `held` counts horizons older than this, milliseconds. */
  readonly alarmMs: number;
}

/** Whether this node holds all it ever acknowledged. A node that lost data says so, and is made whole. */
export interface PastStatus {
  /** It vouches for all it holds: `state` is `sure`. */
  readonly whole: boolean;
  /**
   * `asking`: it just started and asks the others whether its disk is the one it had; `new`: it had none;
   * `lost`: the disk holds less than it acknowledged.
   */
  readonly state: 'sure' | 'asking' | 'new' | 'lost';
  /** How often it lost its disk. */
  readonly generation: number;
  /** Members that were not heard since it started: one of them may remember more than the disk holds. */
  readonly unheard: number;
  /** Partitions it holds a replica of, and those of them it vouches for wholly. */
  readonly partitions: number;
  readonly vouched: number;
  /** Partitions of which it answers reads, but no linearizable ones. */
  readonly vouchedLoosely: number;
  /** How far the rebuilding has come, 0 to 1; 1 when whole. */
  readonly progress: number;
  /** Rows taken over by the rebuilding. */
  readonly rowsTaken: number;
  /** For how long it has not been whole, milliseconds; 0 when it is. */
  readonly sinceMs: number;
  /** Why it is not whole, in words; empty when it is. */
  readonly reason: string;
}

/**
 * Keys under policy `siblings`, as far as requests at this node meet them. "Lately" is the last five to ten minutes.
 */
export interface SiblingsStatus {
  /** Since start: reads and updates that met more than one value; writes; writes refused because the key was full. */
  readonly reads: number;
  readonly writes: number;
  readonly refused: number;
  /** Time since the last refusal, milliseconds; null before the first. */
  readonly refusedAgoMs: number | null;
  /** Beginning of the key that was refused last, and what it has too much of; empty before the first. */
  readonly refusedPrefix: string;
  readonly refusedWhy: string;
  /** `limits.siblingsMax`. */
  readonly valuesMax: number;
  /** The most values a key had lately, and the beginning of that key. */
  readonly valuesMost: number;
  readonly valuesMostPrefix: string;
  /** The most entries of a version vector (20 bytes each) that a write left behind lately, and the beginning of that key. */
  readonly actorsMost: number;
  readonly actorsMostPrefix: string;
  /** The largest row that a write left behind lately, bytes. */
  readonly rowBytesMost: number;
  /** Reads and updates since start by how many values they met: 0 or 1, 2, to 4, to 8, to 16, to 32, to 64, more. */
  readonly readsByValues: readonly number[];
  /** All values they met together. */
  readonly readsValuesSum: number;
}

/** The policies of key prefixes that this node goes by. */
export interface PoliciesStatus {
  /** Policies that were set at run time. */
  readonly atRunTime: number;
  /** When the newest change known here was made, milliseconds since 1970; 0 if there was none. */
  readonly changedAt: number;
  /** Equal at nodes that know the same changes: 16 hex digits. */
  readonly fingerprint: string;
  /** Equal at nodes that go by the same policies, those of their configurations included. */
  readonly inForce: string;
}

export interface StorageStatus {
  readonly engine: string;
  /** Whether data outlives the process. */
  readonly durable: boolean;
  /** `full`: writes are refused, reads go on; `failed`: the node serves nothing from it any more. */
  readonly state: 'ok' | 'full' | 'failed';
  /** What failed, in words; empty when nothing did. */
  readonly failure: string;
  readonly bytesMemory: number;
  readonly bytesDisk: number;
  /** Rows that failed their checksum since start. */
  readonly rowsDamaged: number;
}

export interface PartitionsStatus {
  readonly count: number;
  /** Those whose requests fail here under the default policy: too few nodes are reachable. */
  readonly withoutQuorum: number;
  /** Those that are served only because stand-ins make up for replicas that are not reachable. */
  readonly onStandIns: number;
  /** Those whose reads fail until a member that is being rebuilt has got them back: too few others are reachable. */
  readonly onRebuilding: number;
  /** Those that belong to others now and of which rows are still here: given away when their owners are equal. */
  readonly strays: number;
}

/** A change of the members, or of what they weigh, that is under way; see docs/design/topology.md. */
export interface ChangeStatus {
  readonly kind: ChangeKind;
  /** Members that come, or go, or whose weight changes. */
  readonly nodes: readonly NodeId[];
  /** Members that are gone for good and are asked nothing any more. */
  readonly gone: readonly NodeId[];
  /** It was given up, and is being taken back. */
  readonly cancelled: boolean;
  /**
   * `enrol`: those who come are waited for; `copy`: those who will own rows fetch them; `switch`: they are asked from
   * now on, and the others finish.
   */
  readonly phase: 'enrol' | 'copy' | 'switch';
  /** For how long it has been under way, milliseconds. */
  readonly sinceMs: number;
  /** Members that have not yet said, to this node, that they did what the present epoch asks of them, */
  readonly busy: readonly NodeId[];
  /** and of these, those that this node does not reach: the change goes on when they are back. */
  readonly waitsFor: readonly NodeId[];
  /** Partitions that this node is to fetch, and those that are here. */
  readonly partitions: number;
  readonly partitionsDone: number;
  readonly bytes: number;
  /** By the size of what came; 0 while it is not known. */
  readonly bytesLeft: number;
  readonly bytesPerSecond: number;
}

/** A node and the cluster as it sees it, at one moment. */
export interface NodeStatus {
  readonly node: NodeId;
  readonly cluster: string;
  /** Of the topology. */
  readonly epoch: number;
  /** N. */
  readonly replicas: number;
  readonly uptimeMs: number;
  readonly verdict: Verdict;
  /** Worst first; empty exactly when the verdict is `well`. */
  readonly reasons: readonly StatusReason[];
  /**
   * Nothing is outstanding here: no change is under way, every member is reachable and said that this disk is the one
   * it knew, this node keeps no hint, holds nothing that belongs to others, vouches for all it holds, and found every
   * replica equal when it last compared them. When all nodes say so and `repair.roundAgeMs` is less than the time since the last write, the replicas are equal.
   */
  readonly settled: boolean;
  readonly members: readonly MemberStatus[];
  readonly partitions: PartitionsStatus;
  readonly storage: StorageStatus;
  // A part that this node does not have is left out.
  /** Left out while no change is under way. */
  readonly change?: ChangeStatus;
  readonly hints?: HintsStatus;
  readonly repair?: RepairStatus;
  readonly horizon?: HorizonView;
  readonly past?: PastStatus;
  readonly policies?: PoliciesStatus;
  /** Left out while no key under policy `siblings` was met. */
  readonly siblings?: SiblingsStatus;
}
