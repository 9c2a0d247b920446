/**
 * Inspection: what the disks of a cluster hold at a moment. For oracles: no node is asked.
 *
 * The picture: the court's surveyors, who walk through all storerooms at night and write down what lies
 * there, whether or not its keeper would own to it.
 */

import { equalBytes, readU48 } from '../src/base/bytes.ts';
import { slotOf } from '../src/ring/slots.ts';
import type { Table } from '../src/ring/table.ts';
import { isRowKey, META_PREFIX, type RowKey, rowKeyOf, rowKeySlot } from '../src/rows/key.ts';
import { mergeRows } from '../src/rows/merge.ts';
import {
  compareRowStamp,
  compareRowStamps,
  compareStamps,
  isRowIntact,
  isRowLive,
  type Row,
  rowDeathTime,
  rowStamp,
  rowTime,
  STAMP_BYTES,
  STAMP_NONE,
  type Stamp,
} from '../src/rows/row.ts';
import type { Topology } from '../src/topology/topology.ts';
import type { Cluster, Machine } from './cluster.ts';
import { HINT_PREFIX, stampText } from './history.ts';
import { keyOf } from './workload.ts';

/** A replica of a key, and what its disk holds. A damaged row counts as none. */
export interface ReplicaState {
  readonly node: string;
  readonly row: Row | undefined;
  readonly damaged: boolean;
}

/** A key at a moment. */
export interface KeyState {
  readonly key: number;
  readonly counter: boolean;
  readonly rowKey: RowKey;
  readonly replicas: readonly ReplicaState[];
  /** All intact copies on any disk in any form, hints for others included, merged: the greatest, or all siblings. */
  readonly copy: Row | undefined;
  /** The greatest tombstone horizon of its partition on any disk: dead rows up to it may be gone. */
  readonly horizonMs: number;
}

/** What the disks hold of keys 0 to `keys`, as registers and as counters. */
export function inspectKeys(cluster: Cluster, table: Table, keys: number): KeyState[] {
  const copies = intactCopies(cluster, wantedKeys(keys));
  const states: KeyState[] = [];
  for (const counter of [false, true]) {
    for (let key = 0; key < keys; key++) {
      const name = keyOf(counter ? 'incr' : 'read', key);
      const rowKey = rowKeyOf(name);
      const slot = slotOf(name);
      const replicas = table.preferenceList(slot).map((node) => {
        // An owner that was lost for good, and is not removed yet, holds nothing.
        const row = cluster.present.find((machine) => machine.id === node)?.disk.peek(rowKey);
        const damaged = row !== undefined && !isRowIntact(rowKey, row);
        return { node, row: damaged ? undefined : row, damaged };
      });
      const horizonMs = horizonOf(cluster, table.partitionOfSlot(slot));
      states.push({ key, counter, rowKey, replicas, copy: copies.get(rowKey), horizonMs });
    }
  }
  return states;
}

function wantedKeys(keys: number): RowKey[] {
  const kinds = ['read', 'incr'] as const;
  return kinds.flatMap((kind) => Array.from({ length: keys }, (_, key) => rowKeyOf(keyOf(kind, key))));
}

/** All intact copies of each row key on any disk, merged, under whatever storage key they are kept. */
function intactCopies(cluster: Cluster, rowKeys: readonly RowKey[]): Map<RowKey, Row> {
  const copies = new Map<RowKey, Row>();
  for (const { disk } of cluster.present) {
    for (const [storageKey, value] of disk.entries()) {
      const rowKey = rowKeys.find((one) => storageKey.endsWith(one));
      if (rowKey === undefined || !isRowIntact(rowKey, value)) continue;
      const known = copies.get(rowKey);
      copies.set(rowKey, known === undefined ? value : mergeRows(rowKey, known, value));
    }
  }
  return copies;
}

function horizonOf(cluster: Cluster, partition: number): number {
  return Math.max(0, ...cluster.present.map((machine) => inspectHorizon(machine, partition)));
}

/** The horizon of a partition on one disk, milliseconds. Its note is two times, the fence and the horizon. */
export function inspectHorizon({ disk }: Machine, partition: number): number {
  const note = disk.peek(`${META_PREFIX}horizon${String.fromCharCode(partition >> 8, partition & 0xff)}`);
  return note !== undefined ? readU48(note, 6) : 0;
}

/** Hints on a disk, for whomever. */
export function inspectHints({ disk }: Machine): number {
  let count = 0;
  for (const [key] of disk.entries()) if (key.startsWith(HINT_PREFIX)) count++;
  return count;
}

/** What each running node takes for the topology. */
export function inspectTopologies(cluster: Cluster): { node: string; topology: Topology }[] {
  return cluster.present.flatMap(({ id, node }) =>
    node === undefined ? [] : [{ node: id, topology: node.topology }],
  );
}

/** Rows on the disks of nodes that own them by no table of the latest topology, as sentences. */
export function inspectStrays(cluster: Cluster): string[] {
  const { topology } = cluster;
  if (topology === undefined) return [];
  return cluster.present.flatMap(({ id, disk }) => {
    const strays = [...disk.entries()].filter(
      ([key]) => isRowKey(key) && !topology.isHolder(topology.read.partitionOfSlot(rowKeySlot(key)), id),
    );
    return strays.length === 0 ? [] : [`${id} holds ${strays.length} rows of slots that others own`];
  });
}

/**
 * Why the topology is not at rest, as sentences: a change is under way, a node does not know the latest epoch, or
 * one that is a member does not run.
 */
export function unsettledTopology(cluster: Cluster): string[] {
  const { topology } = cluster;
  if (topology === undefined) return ['nobody runs'];
  const ills: string[] = [];
  const { epoch, phase, change } = topology;
  if (phase !== 'steady')
    ills.push(`the ${change?.kind} of ${change?.nodes.join(', ')} is in phase ${phase}`);
  // The next pages take them out of the tables, by themselves.
  if (topology.ghosts.length > 0) ills.push(`the table still names ${topology.ghosts.join(', ')}`);
  for (const { id, node } of cluster.present) {
    if (node !== undefined && node.topology.epoch !== epoch)
      ills.push(`${id} knows epoch ${node.topology.epoch} of ${epoch}`);
    if (!topology.has(id)) ills.push(`${id} is no member, and has not ended`);
  }
  for (const id of topology.members.map((member) => member.id)) {
    if (!cluster.present.some((machine) => machine.id === id))
      ills.push(`${id} is a member and does not run`);
  }
  return [...ills, ...inspectStrays(cluster)];
}

/** The floor of the last flush on each disk. */
export function inspectFloors(cluster: Cluster): { node: string; floor: Stamp }[] {
  return cluster.present.map((machine) => {
    const stored = machine.disk.peek(`${META_PREFIX}floor`);
    return { node: machine.id, floor: stored?.subarray(0, STAMP_BYTES) ?? STAMP_NONE };
  });
}

/** The greatest of them. */
export function greatestFloor(floors: readonly { readonly floor: Stamp }[]): Stamp {
  return floors.reduce<Stamp>((a, { floor }) => (compareStamps(a, floor) > 0 ? a : floor), STAMP_NONE);
}

/** Whether a row counts as none: dead by a flush, or dead since before the horizon. */
export function isGone(row: Row, floor: Stamp, horizonMs: number): boolean {
  return compareRowStamp(row, floor) <= 0 || (rowTime(row) <= horizonMs && rowDeathTime(row) <= horizonMs);
}

/**
 * How the replicas of a key differ at wall time `wall`, in words; undefined if they are equal.
 * @param damageAside a damaged row is no difference: nobody has read it yet, so nobody can know.
 */
export function differenceOf(
  state: KeyState,
  floor: Stamp,
  wall: number,
  damageAside: boolean,
): string | undefined {
  const rows = state.replicas.map(({ row }) =>
    row === undefined || isGone(row, floor, state.horizonMs) ? undefined : row,
  );
  const damaged = !damageAside && state.replicas.some((replica) => replica.damaged);
  const counted = rows.filter((_, i) => !(damageAside && state.replicas[i]!.damaged));
  if (!damaged && counted.every((row) => equalRows(row, counted[0], wall))) return undefined;
  const held = state.replicas.map((replica, i) => {
    const row = rows[i];
    return `${replica.node} ${replica.damaged ? 'damaged' : row ? stampText(rowStamp(row)) : 'nothing'}`;
  });
  return `${keyOf(state.counter ? 'incr' : 'read', state.key)}: ${held.join(', ')}`;
}

/** Equal to the byte, or the same write and dead: an expired row shrinks to a tombstone in its own time. */
function equalRows(a: Row | undefined, b: Row | undefined, wall: number): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (equalBytes(a, b)) return true;
  return compareRowStamps(a, b) === 0 && !isRowLive(a, wall) && !isRowLive(b, wall);
}
