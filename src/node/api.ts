/**
 * What a node does for the layers above it: the requests that commands, HTTP, the client and an
 * embedding application make. All of them are callbacks: `done` is called exactly once, possibly
 * before the call returns (a read answered from local memory), at the latest a little after the
 * request's deadline.
 *
 * Keys are byte strings (`src/base/bytes.ts`), at most 65,000 bytes. Errors are `CodedError`s whose
 * `outcome` says what became of the data.
 */

import type { ByteString } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import type { Policy } from '../coordinator/policy.ts';
import type { StorageFigures } from '../ports/storage.ts';
import type { NodeId } from '../ports/transport.ts';
import type { Table } from '../ring/table.ts';
import type { Row, RowBody } from '../rows/row.ts';
import type { TopologyRequest } from '../topology/request.ts';
import type { Topology } from '../topology/topology.ts';
import type { MoveFigures } from './move-figures.ts';
import type { RepairDemand, RepairDone, RepairFigures, RepairProgress } from './repair-demand.ts';
import type { NodeStatus } from './status.ts';

export type { TopologyRequest } from '../topology/request.ts';

/** What a request may override. */
export interface RequestOptions {
  /** Instead of the policy of the key's prefix; what it leaves out (conflicts, expiry) is as that says. */
  readonly policy?: Policy;
  /** How long the request may take, milliseconds from now; the node's `requestTimeoutMs` if left out. */
  readonly timeoutMs?: number;
  /**
   * Of a write under policy `siblings`: the causal context that came with the versions it replaces
   * (`Versions.context`). Left out, the write has seen nothing and becomes a sibling of what is there. Under
   * `last-write-wins` it only puts the write's stamp above what was read.
   */
  readonly context?: Uint8Array;
}

export const REQUEST_DEFAULTS: RequestOptions = {};

/** `row` is live (`src/rows/row.ts` reads it), or undefined: no such key. */
export type ReadDone = (error: CodedError | undefined, row: Row | undefined) => void;

/** One of the values a key holds. */
export interface Version {
  /** `KIND_STRING`. */
  readonly kind: number;
  readonly value: Uint8Array;
  /** Wall time in milliseconds from which on it is gone; 0 never. */
  readonly expireAt: number;
  /** When it was written, by its coordinator's hybrid clock, milliseconds since 1970. */
  readonly time: number;
}

/** All a key holds, and what it takes to replace just that. */
export interface Versions {
  /** Newest first; empty for no such key. More than one only if they were written concurrently. */
  readonly versions: readonly Version[];
  /**
   * The causal context: opaque bytes, at most `CONTEXT_BYTES_MAX` (`src/rows/context.ts`). Two reads with equal
   * contexts saw the same versions. Of a key that was never there it is the context that saw nothing.
   */
  readonly context: Uint8Array;
}

export type VersionsDone = (error: CodedError | undefined, versions: Versions | undefined) => void;

/** How far a write has come; it goes on changing after `done`, until every replica answered. */
export interface WriteProgress {
  /** Nodes that made it durable so far: replicas and stand-ins for them, the coordinator included. */
  readonly acknowledgements: number;
  /** True when no more acknowledgements will come. */
  readonly settled: boolean;
}

export type WriteDone = (error: CodedError | undefined, progress: WriteProgress | undefined) => void;

/** An error an update function answers with: the words of a Redis error (`WRONGTYPE Operation …`). */
export class UpdateError {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** What an update function may answer; it travels between nodes when the update was forwarded. */
export type UpdateReply = null | number | bigint | string | Uint8Array | UpdateError | readonly UpdateReply[];

export interface UpdateResult {
  readonly reply: UpdateReply;
  /** What to store; left out, nothing is written. */
  readonly body?: RowBody;
  /**
   * The body is a new value that owes nothing to the one that was there: without an expiry it gets that of the
   * policy, as it does where there was none.
   */
  readonly isNew?: boolean;
}

/**
 * A read-modify-write of one key, as a pure function, run at the key's coordinator. `current` is
 * undefined for a key that is not there. It may run again on another state after a lost race, so it
 * must not keep anything between calls.
 */
export type UpdateFunction = (
  current: RowBody | undefined,
  args: readonly Uint8Array[],
  context: UpdateContext,
) => UpdateResult;

export interface UpdateContext {
  readonly key: ByteString;
  /** Wall time, milliseconds. */
  readonly wall: number;
  /**
   * The causal context of `current` (`Versions.context`), for updates that depend on it. Empty, which no reader
   * was ever given, when `current` was made by an update of the same round and is not written yet.
   */
  contextOf(): Uint8Array;
}

export type UpdateDone = (
  error: CodedError | undefined,
  reply: UpdateReply,
  progress: WriteProgress | undefined,
) => void;

export interface ScanEntry {
  readonly key: ByteString;
  readonly kind: number;
}

/** A page of a scan. `cursor` 0 means the scan is complete. Cursors are integers below 2^53. */
export interface ScanPage {
  readonly cursor: number;
  readonly entries: readonly ScanEntry[];
}

export type ScanDone = (error: CodedError | undefined, page: ScanPage | undefined) => void;

export type CountDone = (error: CodedError | undefined, count: number) => void;

/** A policy in force. */
export interface PolicyEntry {
  /** Empty for the default. */
  readonly prefix: ByteString;
  readonly policy: Policy;
  /** `default` and `config` as this node's configuration says; `run-time` on all nodes. */
  readonly origin: 'default' | 'config' | 'run-time';
  /** When it was set at run time, milliseconds since 1970; else 0. */
  readonly time: number;
}

/** How far a change of a policy has come. */
export interface PolicyChange {
  /** Members that made it durable and go by it, the one that took it included. */
  readonly acknowledged: readonly NodeId[];
  /** Members that were away or did not answer: they learn it when they are reached again. */
  readonly missed: readonly NodeId[];
}

export type PolicyDone = (error: CodedError | undefined, change: PolicyChange | undefined) => void;

export type FlushDone = (error: CodedError | undefined) => void;

/** A member as the node sees it now. */
export interface MemberView {
  readonly id: NodeId;
  readonly host: string;
  readonly respPort: number;
  readonly peerPort: number;
  readonly httpPort: number;
  readonly zone: string;
  readonly weight: number;
  /** Whether requests are sent to it. Always true for the node itself. */
  readonly live: boolean;
  /** Milliseconds since something was heard from it; 0 for the node itself. */
  readonly silenceMs: number;
  /** Estimated 95th percentile of its reply time, milliseconds; 0 before the first. */
  readonly replyP95Ms: number;
  /** What this node makes of it: `down` is taken for dead, `left` said goodbye. */
  readonly status: 'alive' | 'suspect' | 'down' | 'left';
  /** The life of it that is known; higher with each start, and when it contradicts a rumour. */
  readonly incarnation: number;
  /** How strange its silence is: -log10 of the chance that it only speaks late. 0 for the node itself. */
  readonly phi: number;
  /** Our pipe to it is open. */
  readonly reachable: boolean;
  /** It does not answer us, and lives: this member heard it last. */
  readonly seenThrough: NodeId | undefined;
  /** It lost data and is being rebuilt since this wall time, milliseconds, as it says; 0 while it is whole. */
  readonly rebuildingSince: number;
  /** The epoch of the topology it knows, durably, as it says; 0 while that was not heard. */
  readonly epoch: number;
  /** The greatest epoch that asks nothing of it any more, as it says: a change waits until all say its epoch. */
  readonly settledEpoch: number;
}

/** Figures of hints (`src/hints/`): counters since start, and gauges. */
export interface HintFigures {
  /** Hints kept for absent members now, and the bytes of their keys and rows. */
  readonly hints: number;
  readonly hintBytes: number;
  /** 1 while those of the former life are still being counted: the two above are then too low. */
  readonly hintsLoading: number;
  /** Of these, those met and found to fail their checksum; and how many were found so since start. */
  readonly hintsUnreadable: number;
  readonly hintsDamaged: number;
  /** Rows this node took in for others, and refused because a member's share was full. */
  readonly hintsAccepted: number;
  readonly hintsRefused: number;
  /** Rows handed over, and rows the target would not take because they are long dead. */
  readonly hintsDelivered: number;
  readonly hintStragglers: number;
}

/** Counters since start, and gauges, for INFO and metrics. Names are stable. */
export interface NodeFigures extends HintFigures, RepairFigures {
  readonly reads: number;
  readonly writes: number;
  readonly updates: number;
  readonly readsShared: number;
  readonly forwards: number;
  readonly hedges: number;
  readonly repairsBlocking: number;
  readonly repairsAfter: number;
  readonly failuresQuorum: number;
  readonly failuresDeadline: number;
  readonly failuresOverload: number;
  readonly framesDamaged: number;
  /** Frames that came a second time, or behind later ones, and were not read. */
  readonly framesLate: number;
  readonly rowsDamaged: number;
  readonly rowsRefusedClock: number;
  /** Times a stand-in was asked to keep a row for a replica that did not take it. */
  readonly standIns: number;
  /** Writes under policy `siblings`; reads and updates that met several; writes refused because of too many. */
  readonly siblingWrites: number;
  readonly siblingsMet: number;
  readonly siblingsRefused: number;
  /** The most siblings that a write here left behind, since the start. */
  readonly siblingsMost: number;
  /** Requests not answered yet. */
  readonly requestsInFlight: number;
  /** Writes and flushes that are answered, and whose slowest replicas have not answered yet. */
  readonly writesUnsettled: number;
  readonly framesSent: number;
  readonly messagesSent: number;
  readonly storage: StorageFigures;
}

/** `topology` is the epoch that is in force now; `warnings` are whole sentences that whoever asked should read. */
export type TopologyDone = (
  error: CodedError | undefined,
  topology: Topology | undefined,
  warnings?: readonly string[],
) => void;

/** The requests a node takes. `src/node/node.ts` is the one implementation. */
export interface NodeApi {
  readonly id: NodeId;
  /** 40 hex digits for CLUSTER commands, made from the node's id; the same for ever. */
  readonly idHex: string;
  readonly clusterName: string;
  /** The epoch in force here: members, owners, the change under way. */
  readonly topology: Topology;
  /** `topology.read`: the owners that reads ask, and that clients are told of. */
  readonly table: Table;
  /** N: replicas a key is to have; where there are fewer members, all of them hold it. Policies go by N. */
  readonly replicas: number;
  readonly pairBytesMax: number;
  /** Wall time, milliseconds. */
  wall(): number;
  monotonic(): number;
  /** The policy that applies to a key without an override. */
  policyOf(key: ByteString): Policy;
  /** All policies in force here, by prefix. */
  policies(): readonly PolicyEntry[];
  /**
   * Sets the policy of a prefix on all nodes, over what their configurations say, or (undefined) unsets what was
   * set so. Requests that begin afterwards go by it. Done when it is durable at all members that are reached.
   */
  setPolicy(prefix: ByteString, policy: Policy | undefined, done: PolicyDone): void;
  read(key: ByteString, options: RequestOptions, done: ReadDone): void;
  /**
   * A read that needs nobody else (R=1, the row at hand and durable), at once: the live row, or null for no
   * such key. Undefined when it is not of that kind, or anything is amiss: then `read` answers.
   */
  readNow(key: ByteString, options: RequestOptions): Row | null | undefined;
  /** Reads all versions of a key, and the causal context to replace them with. */
  readVersions(key: ByteString, options: RequestOptions, done: VersionsDone): void;
  /** A blind write or delete: it does not look at what was there. See `RequestOptions.context`. */
  write(key: ByteString, body: RowBody, options: RequestOptions, done: WriteDone): void;
  /** Runs the update function registered as `operation` at the key's coordinator. */
  update(
    key: ByteString,
    operation: string,
    args: readonly Uint8Array[],
    options: RequestOptions,
    done: UpdateDone,
  ): void;
  /** Live keys of the whole cluster in pages of about `count`, from cursor 0 until it comes back 0. */
  scan(cursor: number, count: number, options: RequestOptions, done: ScanDone): void;
  /** How many live keys there are in slots `from` to `to` (end excluded), over the whole cluster. */
  count(slotFrom: number, slotTo: number, options: RequestOptions, done: CountDone): void;
  /** Makes every row written before now dead, in the whole cluster, whatever arrives late. */
  flush(options: RequestOptions, done: FlushDone): void;
  /**
   * Changes who the members are, or what they weigh. Done when the first epoch of the change is chosen and in
   * force here: from then on it goes on by itself, whoever crashes, and `topology` and `moves` show how far.
   */
  changeTopology(request: TopologyRequest, done: TopologyDone): void;
  /** What this node fetches and gives away for the change under way. */
  moves(): MoveFigures;
  /**
   * Compares replicas and exchanges what differs; `progress` is called now and then, `done` once. See
   * `RepairDemand`.
   */
  repair(demand: RepairDemand, progress: (progress: RepairProgress) => void, done: RepairDone): void;
  members(): readonly MemberView[];
  /**
   * Whether this node may answer a read of a partition from its own rows: not before a disk that was lost is
   * made whole that far. `strict` for a linearizable read.
   */
  answersFor(partition: number, strict: boolean): boolean;
  figures(): NodeFigures;
  /** Everything an operator asks of a node, judged; see `src/node/status.ts`. Takes some 100 µs: for people. */
  status(): NodeStatus;
  /** Seconds since the row was used, and how often, where the engine knows (a memory engine). */
  idleSeconds(key: ByteString): number | undefined;
  frequency(key: ByteString): number | undefined;
}
