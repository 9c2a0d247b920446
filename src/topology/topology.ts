/**
 * The topology: who the members are and who owns what, in one epoch. An immutable value.
 *
 * The picture: the village register of fields. A page is written for each epoch and never changed; the
 * next page is agreed on by those who stand on this one (`src/paxos`), and everybody copies it. Moving a
 * field from one family to another takes three pages, so that neighbours who read two pages that follow
 * each other never harm one another (online schema change: Rae et al., F1, VLDB 2013; joint quorums: Raft,
 * Ongaro and Ousterhout 2014, section 6). Where a family comes that has no field yet, a page goes before them on
 * which it only stands among the others (`enrol`): nobody counts on whoever has not moved in yet.
 *
 * | phase    | reads ask  | a write needs W of    | ends when every member says                          |
 * |----------|------------|-----------------------|------------------------------------------------------|
 * | `steady` | `read`     | `read`                |                                                      |
 * | `enrol`  | `read`=old | `read`                | that it knows the epoch, and reaches those who come  |
 * | `copy`   | `read`=old | `read` and of `other` | that it knows the epoch, and holds what it is to get |
 * | `switch` | `read`=new | `read` and of `other` | that it knows the epoch, and owes nobody anything    |
 *
 * No epoch is proposed before every member has told that it knows the one before it durably: so at any
 * time two epochs are in use, and they follow each other. docs/design/topology.md has the argument.
 */

import { assert } from '../base/assert.ts';
import type { RingMember, Table } from '../ring/table.ts';

/** A member of the cluster. `host` is what clients and peers dial. */
export interface TopologyMember extends RingMember {
  readonly host: string;
  readonly respPort: number;
  readonly peerPort: number;
  /** 0 for none. */
  readonly httpPort: number;
}

export type TopologyPhase = 'steady' | 'enrol' | 'copy' | 'switch';

export type ChangeKind = 'join' | 'leave' | 'remove' | 'replace' | 'weight';

/** A change of the members or their weights that is under way, or the one that led to this epoch. */
export interface TopologyChange {
  readonly kind: ChangeKind;
  /** Drawn by whoever asked, so that it can tell its own change from another: 48 bits. */
  readonly id: number;
  /** Members that come, or whose weight changes, or that go. For `replace` the new one. */
  readonly nodes: readonly string[];
  /** Members that are gone for good and are asked nothing any more (`remove`, `replace`). */
  readonly gone: readonly string[];
  /** The first epoch of the change. */
  readonly epoch: number;
  /** Wall milliseconds of whoever asked. */
  readonly beganAt: number;
  /** It was given up, and led back to the owners of before: said in phase `steady`. */
  readonly isCancelled?: boolean;
}

/** The greatest epoch: frames carry it in 32 bits. */
export const EPOCH_MAX = 0xffff_ffff;

export interface TopologyContent {
  readonly epoch: number;
  readonly phase: TopologyPhase;
  /** Everybody who takes part: the owners by `read` and by `other`, those who come, without those that are gone. */
  readonly members: readonly TopologyMember[];
  readonly read: Table;
  readonly other: Table | undefined;
  readonly change: TopologyChange | undefined;
  /** See `Topology.lost`; none when left out. */
  readonly lost?: readonly TopologyMember[];
}

/** Whether there are owners before and owners after in a phase: a second table. */
export function hasTwoTables(phase: TopologyPhase): boolean {
  return phase === 'copy' || phase === 'switch';
}

export class Topology {
  readonly epoch: number;
  readonly phase: TopologyPhase;
  /** Sorted by id. */
  readonly members: readonly TopologyMember[];
  /** The owners that reads ask and clients are told of. */
  readonly read: Table;
  /** The owners that writes must reach besides; undefined in phases `steady` and `enrol`. */
  readonly other: Table | undefined;
  /** The change under way; in phase `steady` the one that led here, undefined in a founding epoch. */
  readonly change: TopologyChange | undefined;
  /** In phases `enrol` and `copy`, members that the change takes for gone, as they were: members again if it is cancelled. */
  readonly lost: readonly TopologyMember[];
  readonly #byId: ReadonlyMap<string, TopologyMember>;

  constructor(content: TopologyContent) {
    const { epoch, phase, members, read, other, change, lost } = content;
    assert(hasTwoTables(phase) === (other !== undefined), 'two tables while owners change');
    this.epoch = epoch;
    this.phase = phase;
    this.members = Object.freeze(members.toSorted((a, b) => (a.id < b.id ? -1 : 1)));
    this.read = read;
    this.other = other;
    this.change = change;
    this.lost = lost ?? [];
    this.#byId = new Map(this.members.map((member) => [member.id, member]));
  }

  /** Epoch 1: the members of a configuration, with `read` placed for them. */
  static founding(members: readonly TopologyMember[], read: Table): Topology {
    return new Topology({
      epoch: read.epoch,
      phase: 'steady',
      members,
      read,
      other: undefined,
      change: undefined,
    });
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  member(id: string): TopologyMember | undefined {
    return this.#byId.get(id);
  }

  /**
   * Those who decide on the next epoch: the members that reads ask now. So a newcomer that never comes holds nobody
   * up, and neither does one that is going. All members if there is no such one (force).
   */
  get voters(): readonly TopologyMember[] {
    const asked = this.members.filter(({ id }) => this.read.has(id));
    return asked.length > 0 ? asked : this.members;
  }

  /** Members that are to own and that reads do not ask yet, in phases `enrol` and `copy`. */
  get newcomers(): readonly TopologyMember[] {
    if (this.phase !== 'enrol' && this.phase !== 'copy') return [];
    return this.members.filter(({ id }) => !this.read.has(id));
  }

  get partitionCount(): number {
    return this.read.partitionCount;
  }

  /** Ids that a table still names although they are members no more: they are gone, and asked nothing. */
  get ghosts(): string[] {
    const named = this.other === undefined ? [this.read] : [this.read, this.other];
    const ids = new Set(named.flatMap(({ members }) => members.map(({ id }) => id)));
    return [...ids].filter((id) => !this.#byId.has(id)).sort();
  }

  /** Whether the change under way changes who holds a partition (the set, not the order). */
  isMoving(partition: number): boolean {
    if (this.other === undefined) return false;
    const read = this.read.preferenceListOfPartition(partition);
    const other = this.other.preferenceListOfPartition(partition);
    return read.length !== other.length || read.some((id) => !other.includes(id));
  }

  /** Whether a node is to hold the rows of a partition: by either table. */
  isHolder(partition: number, id: string): boolean {
    if (this.read.preferenceListOfPartition(partition).includes(id)) return true;
    return this.other?.preferenceListOfPartition(partition).includes(id) ?? false;
  }

  /** The owners before the change, in phases `copy` and `switch`. */
  get old(): Table | undefined {
    return this.phase === 'copy' ? this.read : this.other;
  }

  /** The owners after the change, in phases `copy` and `switch`; else those of now. */
  get next(): Table {
    return this.phase === 'copy' ? this.other! : this.read;
  }
}
