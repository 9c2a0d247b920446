/**
 * What a node is made from: who it is, who the members are, its limits, and its ports. Plain values,
 * so that a composition root, a simulation and an embedding application build the same node.
 */

import type { PolicyTable } from '../coordinator/policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Random } from '../ports/random.ts';
import type { Durability, Storage, StorageUsage } from '../ports/storage.ts';
import type { NodeId, Transport } from '../ports/transport.ts';
import type { Turn } from '../ports/turn.ts';
import type { Table } from '../ring/table.ts';
import type { Topology, TopologyMember } from '../topology/topology.ts';
import type { UpdateFunction } from './api.ts';

/** A member of the cluster. `host` is what clients and peers dial; `weight` is 1 by default. */
export type Member = TopologyMember;

export interface NodeLimits {
  /** Key and value of one pair together, bytes. */
  readonly pairBytesMax: number;
  /** Siblings a key may have under policy `siblings`; a write that would make more is refused. */
  readonly siblingsMax: number;
  /** Requests not answered yet at this coordinator; beyond it they are refused at once. */
  readonly requestsMax: number;
  /** A request without its own deadline gets this, milliseconds. */
  readonly requestTimeoutMs: number;
  /** A row stamped further ahead of this node's clock is refused, milliseconds. */
  readonly clockOffsetMaxMs: number;
  /** A heartbeat goes to each peer this often, milliseconds. */
  readonly heartbeatIntervalMs: number;
  /** A peer silent for longer is taken for dead until it is heard, milliseconds. */
  readonly silenceMaxMs: number;
  /** Extra requests that hedging may cause, as a share of reads (0.05 is 5%). */
  readonly hedgeShareMax: number;
  /** Hints kept here for one absent member, keys and rows together, bytes; beyond it hints are refused. */
  readonly hintBytesMax: number;
  /** Hints are handed over to a member that is back at most so fast, bytes a second. */
  readonly handoffBytesPerSecond: number;
  /** Rows that move to this node while owners change are fetched at most so fast, bytes a second. */
  readonly moveBytesPerSecond: number;
  /** Every partition is compared with its other replicas this often when nothing is amiss, milliseconds. */
  readonly repairIntervalMs: number;
  /** Share of this node's time that comparing replicas may take, 0 to 1. */
  readonly repairShareMax: number;
  /** Between two attempts to raise a partition's tombstone horizon, milliseconds. */
  readonly horizonIntervalMs: number;
  /**
   * A horizon stays so far behind the clock, milliseconds: more than the longest request, a delay of the
   * network and two clock offsets together. A message later than this is refused as a straggler.
   */
  readonly horizonMarginMs: number;
  /** A horizon that has not moved for so long raises an alarm, milliseconds. */
  readonly horizonAlarmMs: number;
}

export const NODE_LIMITS_DEFAULT: NodeLimits = {
  pairBytesMax: 10 * 1024,
  siblingsMax: 32,
  requestsMax: 20_000,
  requestTimeoutMs: 1000,
  clockOffsetMaxMs: 500,
  heartbeatIntervalMs: 200,
  silenceMaxMs: 1000,
  hedgeShareMax: 0.05,
  hintBytesMax: 256 * 1024 * 1024,
  handoffBytesPerSecond: 32 * 1024 * 1024,
  moveBytesPerSecond: 8 * 1024 * 1024,
  repairIntervalMs: 600_000,
  repairShareMax: 0.05,
  horizonIntervalMs: 600_000,
  horizonMarginMs: 120_000,
  horizonAlarmMs: 3 * 3_600_000,
};

export interface NodeOptions {
  readonly id: NodeId;
  readonly clusterName: string;
  /** The founding members and their table: of use only while no later epoch is known. */
  readonly members: readonly Member[];
  readonly table: Table;
  /** A later epoch that a member told, for a node that joins; what storage remembers counts if it is newer. */
  readonly topology?: Topology;
  readonly policies: PolicyTable;
  readonly durability: Durability;
  readonly limits: NodeLimits;
  /** Read-modify-writes by name; every node of a cluster must know the same. */
  readonly updates: ReadonlyMap<string, UpdateFunction>;
  /** Named bugs switched on to prove that tests catch them; empty in production. */
  readonly mutants?: ReadonlySet<string>;
}

export interface NodePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  readonly storage: Storage & Partial<StorageUsage>;
  readonly log: Log;
  readonly turn: Turn;
}
