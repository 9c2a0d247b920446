/**
 * Pumped clusters in which one partition, all there is, goes from the owners n1, n2, n3 to n2, n3, n4, a page of the
 * topology at a time and at each node by itself: for tests of what happens between the pages.
 *
 * Nobody turns a page by himself as long as no time passes; a page is handed to a node by `learn`, as if another
 * member had told it.
 */

import assert from 'node:assert/strict';
import type { ByteString } from '../../src/base/bytes.ts';
import type { NodeId } from '../../src/ports/transport.ts';
import { Table } from '../../src/ring/table.ts';
import { rowKeyOf } from '../../src/rows/key.ts';
import { encodeTopology } from '../../src/topology/codec.ts';
import { Topology, type TopologyChange } from '../../src/topology/topology.ts';
import { writeWrite } from '../../src/wire/messages.ts';
import { writeTopology } from '../../src/wire/topology-messages.ts';
import { PumpedCluster, type PumpedOptions, pumpedMember } from './pumped-cluster.ts';

export interface Owners {
  readonly old: readonly NodeId[];
  readonly next: readonly NodeId[];
  /** All members; `n1` to `n4` if left out. */
  readonly members?: readonly NodeId[];
  readonly change?: Partial<TopologyChange>;
}

const usual: Owners = { old: ['n1', 'n2', 'n3'], next: ['n2', 'n3', 'n4'] };

/** A table of one partition, with so many owners. */
function tableOf(epoch: number, members: readonly NodeId[], owners: readonly NodeId[]): Table {
  // Lists have a length that goes by the members: those that own nothing are left out where there are fewer than N.
  const named = owners.length < 3 ? members.filter((id) => owners.includes(id)) : members;
  return Table.fromJson({
    format: 1,
    epoch,
    partitionCount: 1,
    replicaCount: 3,
    members: named.toSorted().map((id) => ({ id, weight: 1, zone: 'z' })),
    lists: [owners.map((id) => named.toSorted().indexOf(id))],
  });
}

/** The four pages of a change, steady before it to steady after it: epochs 1 to 4. */
export function pagesOf(owners: Owners = usual): readonly Topology[] {
  const ids = owners.members ?? ['n1', 'n2', 'n3', 'n4'];
  const gone = owners.change?.gone ?? [];
  const named = [...new Set([...ids, ...gone, ...owners.old, ...owners.next])];
  const change: TopologyChange = {
    kind: 'weight',
    id: 1,
    nodes: ['n4'],
    gone: [],
    epoch: 2,
    beganAt: 0,
    ...owners.change,
  };
  const old = tableOf(1, named, owners.old);
  const next = tableOf(2, named, owners.next);
  const members = named.map((id) => pumpedMember(id));
  const staying = members.filter(({ id }) => !gone.includes(id));
  const page = { members: staying, change };
  return [
    new Topology({ ...page, epoch: 1, phase: 'steady', members, read: old, other: undefined }),
    new Topology({ ...page, epoch: 2, phase: 'copy', read: old, other: next }),
    new Topology({ ...page, epoch: 3, phase: 'switch', read: next, other: old }),
    new Topology({ ...page, epoch: 4, phase: 'steady', read: next, other: undefined }),
  ];
}

export class TwoLists extends PumpedCluster {
  readonly pages: readonly Topology[];

  /** @param epoch the page that all begin with */
  constructor(epoch: number, options: PumpedOptions = {}, owners: Owners = usual) {
    const pages = pagesOf(owners);
    const page = pages[epoch - 1]!;
    super({
      policy: 'PC/EC',
      ...options,
      nodes: page.members.length,
      partitionCount: 1,
      topology: () => page,
    });
    this.pages = pages;
  }

  /** Hands nodes a page, all of them if none is named; it is in force there when this returns. */
  learn(epoch: number, ...ids: readonly NodeId[]): void {
    const value = encodeTopology(this.pages[epoch - 1]!);
    for (const id of ids.length > 0 ? ids : this.ids) {
      const { node, storage } = this.seat(id);
      if (node.topology.epoch >= epoch) continue;
      const from = this.ids.find((other) => other !== id)!;
      node.frame(
        from,
        this.forge(from, id, (writer) => writeTopology(writer, value)),
      );
      for (let turn = 0; turn < 10 && node.topology.epoch < epoch; turn++) {
        this.endTurn(id);
        if (!storage.automatic) while (storage.pending.length > 0) storage.complete();
      }
      assert.equal(node.topology.epoch, epoch, `${id} turned the page`);
    }
  }

  /** What `from` holds durably under a row key is stored by `to`: a comparison of these two, in one stroke. */
  exchange(from: NodeId, to: NodeId, key: ByteString): void {
    const row = this.stored(from, key);
    const { node, storage } = this.seat(to);
    if (row !== undefined) {
      const frame = this.forge(from, to, (writer) => writeWrite(writer, 0, rowKeyOf(key), row));
      node.frame(from, frame);
    }
    for (let turn = 0; turn < 10 && (this.endTurn(to) || storage.pending.length > 0); turn++) {
      while (storage.pending.length > 0) storage.complete();
    }
  }

  /** Pipes that are down, and may be up, come up. */
  dial(): void {
    this.connect();
  }
}
