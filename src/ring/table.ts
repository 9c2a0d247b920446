/**
 * The table: who holds what, in one topology epoch. An immutable value.
 *
 * The picture: 1024 partitions stand on a ring like the hours of a clock. Each carries a short list
 * of nodes, its preference list; the first on the list is its primary, the owner of that virtual
 * node. A key gives a slot, a slot gives a partition by a shift, a partition gives its list: two array
 * reads, no allocation, for every request.
 *
 * Nodes that know the same epoch must hold equal tables, so a table has a canonical JSON form (members
 * sorted by id), a hash to compare at a handshake, and an exact `equals`. How a table is chosen is in
 * `placement.ts`; how two of them differ in `difference.ts`.
 */

import { byteString, utf8Bytes } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { murmur3 } from '../base/murmur3.ts';
import { SLOT_COUNT } from './slots.ts';

export const PARTITION_COUNT_DEFAULT = 1024;
export const REPLICA_COUNT_DEFAULT = 3;
/** Bounds of what a table may say, so that one from a peer cannot ask for absurd memory. */
export const MEMBER_COUNT_MAX = 1024;
export const REPLICA_COUNT_MAX = 15;
export const WEIGHT_MAX = 1_000_000;
const ID_LENGTH_MAX = 256;

/** A node as the ring sees it. */
export interface RingMember {
  /** The node id, unique in the table. */
  readonly id: string;
  /** Its share relative to the others: above 0, up to `WEIGHT_MAX`. */
  readonly weight: number;
  /** What it fails together with: a rack, a host or a data centre. */
  readonly zone: string;
}

/** How many partitions a member has. */
export interface Shares {
  /** Of how many it is the primary. */
  readonly primaries: number;
  /** Of how many it holds a replica, as primary or not. */
  readonly replicas: number;
}

const noShares: Shares = Object.freeze({ primaries: 0, replicas: 0 });

/** The plain JSON form of a table. */
export interface TableJson {
  readonly format: 1;
  readonly epoch: number;
  readonly partitionCount: number;
  readonly replicaCount: number;
  readonly members: readonly RingMember[];
  /** A preference list a partition, as indices into `members`. */
  readonly lists: readonly (readonly number[])[];
}

/** What a table is made of; `lists` holds `min(replicaCount, members.length)` indices a partition. */
export interface TableContent {
  readonly epoch: number;
  readonly partitionCount: number;
  readonly replicaCount: number;
  readonly members: readonly RingMember[];
  readonly lists: Uint16Array;
}

export class Table {
  /** The topology epoch, from 1. */
  readonly epoch: number;
  /** Sorted by id; an index into it is a member's number in this table only. */
  readonly members: readonly RingMember[];
  /** A power of two, up to 16,384. */
  readonly partitionCount: number;
  readonly slotsPerPartition: number;
  /** N, the number of replicas wanted. */
  readonly replicaCount: number;
  /** The number of replicas a list has: N, or the number of members if that is less. */
  readonly listLength: number;
  /** The member index of each partition's primary. */
  readonly owners: Uint16Array;
  readonly #shift: number;
  readonly #lists: Uint16Array;
  readonly #preferenceLists: readonly (readonly string[])[];
  readonly #indexOfId: ReadonlyMap<string, number>;
  readonly #standIns: (readonly string[] | undefined)[];
  /** Counted at the first question: those who look on ask several times a second. */
  #shares: readonly Shares[] | undefined;
  #hash: number | undefined;

  /** @throws CodedError `invalid` if the content is not a table; the message names the fault. */
  constructor(content: TableContent) {
    checkContent(content);
    this.epoch = content.epoch;
    this.members = Object.freeze(content.members.map(({ id, weight, zone }) => ({ id, weight, zone })));
    this.partitionCount = content.partitionCount;
    this.slotsPerPartition = SLOT_COUNT / content.partitionCount;
    this.replicaCount = content.replicaCount;
    this.listLength = Math.min(content.replicaCount, content.members.length);
    this.#shift = Math.log2(this.slotsPerPartition);
    this.#lists = content.lists.slice();
    this.#indexOfId = new Map(this.members.map((member, index) => [member.id, index]));
    this.#standIns = new Array(this.partitionCount).fill(undefined);
    this.owners = new Uint16Array(this.partitionCount);
    const preferenceLists: (readonly string[])[] = [];
    for (let partition = 0; partition < this.partitionCount; partition++) {
      const indices = this.replicaIndices(partition);
      this.owners[partition] = indices[0]!;
      preferenceLists.push(Object.freeze(Array.from(indices, (index) => this.members[index]!.id)));
    }
    this.#preferenceLists = preferenceLists;
  }

  /** The partition of a slot (0 to 16,383): a run of contiguous slots. */
  partitionOfSlot(slot: number): number {
    return slot >>> this.#shift;
  }

  /** The first slot of a partition; it ends before the first slot of the next. */
  firstSlotOf(partition: number): number {
    return partition << this.#shift;
  }

  /** The replicas of a slot, primary first: the same frozen array for every slot of a partition. */
  preferenceList(slot: number): readonly string[] {
    return this.#preferenceLists[slot >>> this.#shift]!;
  }

  /** The replicas of a partition, primary first. */
  preferenceListOfPartition(partition: number): readonly string[] {
    return this.#preferenceLists[partition]!;
  }

  /** The replicas of a partition as member indices, primary first: a view, not to be written. */
  replicaIndices(partition: number): Uint16Array {
    return this.#lists.subarray(partition * this.listLength, (partition + 1) * this.listLength);
  }

  /**
   * The nodes that may stand in for absent replicas of a slot, best first: everybody not on its list,
   * in the order a clockwise walk of the ring meets them (Dynamo, section 4.6). Members that own no
   * partition come last. Computed once a partition, at the first call.
   */
  standIns(slot: number): readonly string[] {
    const partition = slot >>> this.#shift;
    const known = this.#standIns[partition];
    if (known) return known;
    const seen = new Set<number>(this.replicaIndices(partition));
    const listed = seen.size;
    for (let step = 1; step < this.partitionCount && seen.size < this.members.length; step++) {
      seen.add(this.owners[(partition + step) & (this.partitionCount - 1)]!);
    }
    for (let index = 0; index < this.members.length; index++) seen.add(index);
    const walk = Object.freeze([...seen].slice(listed).map((index) => this.members[index]!.id));
    this.#standIns[partition] = walk;
    return walk;
  }

  /** The index of a member, or -1 if the id is not in the table. */
  indexOf(id: string): number {
    return this.#indexOfId.get(id) ?? -1;
  }

  has(id: string): boolean {
    return this.#indexOfId.has(id);
  }

  /** Whether a node is on the preference list of a slot. */
  isReplica(slot: number, id: string): boolean {
    return this.preferenceList(slot).includes(id);
  }

  /** The partitions a node holds a replica of, ascending; none for an unknown id. */
  partitionsOf(id: string): number[] {
    const index = this.indexOf(id);
    const held: number[] = [];
    if (index < 0) return held;
    for (let partition = 0; partition < this.partitionCount; partition++) {
      if (this.replicaIndices(partition).includes(index)) held.push(partition);
    }
    return held;
  }

  /** How many partitions each member is the primary of, by member index. */
  primaryCounts(): number[] {
    const counts = new Array<number>(this.members.length).fill(0);
    for (const owner of this.owners) counts[owner] = counts[owner]! + 1;
    return counts;
  }

  /** How many partitions each member holds a replica of, by member index. */
  replicaCounts(): number[] {
    const counts = new Array<number>(this.members.length).fill(0);
    for (const index of this.#lists) counts[index] = counts[index]! + 1;
    return counts;
  }

  /** How many partitions a node has; none for an unknown id. Counted once a table. */
  sharesOf(id: string): Shares {
    this.#shares ??= this.#countShares();
    return this.#shares[this.indexOf(id)] ?? noShares;
  }

  #countShares(): readonly Shares[] {
    const replicas = this.replicaCounts();
    return this.primaryCounts().map((primaries, index) =>
      Object.freeze({ primaries, replicas: replicas[index]! }),
    );
  }

  /** A 32-bit Murmur3 hash of the whole content: equal tables have equal hashes. */
  get hash(): number {
    this.#hash ??= murmur3(byteString(utf8Bytes(JSON.stringify(this.toJson()))));
    return this.#hash;
  }

  /** Whether two tables say exactly the same, epoch included. */
  equals(other: Table): boolean {
    if (this === other) return true;
    if (this.hash !== other.hash) return false;
    return JSON.stringify(this.toJson()) === JSON.stringify(other.toJson());
  }

  /** The plain JSON form: the same text for equal tables. */
  toJson(): TableJson {
    const lists: number[][] = [];
    for (let partition = 0; partition < this.partitionCount; partition++) {
      lists.push([...this.replicaIndices(partition)]);
    }
    return {
      format: 1,
      epoch: this.epoch,
      partitionCount: this.partitionCount,
      replicaCount: this.replicaCount,
      members: this.members.map(({ id, weight, zone }) => ({ id, weight, zone })),
      lists,
    };
  }

  /**
   * The table of a JSON value, which may come from a file or a peer and is trusted in nothing.
   *
   * @throws CodedError `invalid`, with the first fault found.
   */
  static fromJson(value: unknown): Table {
    if (!isRecord(value)) throw invalid('not an object');
    if (value.format !== 1) throw invalid('format is not 1');
    const { epoch, partitionCount, replicaCount, members, lists } = value;
    checkNumber(epoch, 'epoch');
    checkNumber(partitionCount, 'partitionCount');
    checkNumber(replicaCount, 'replicaCount');
    checkShape(partitionCount, replicaCount);
    if (!Array.isArray(members)) throw invalid('members is not an array');
    if (!Array.isArray(lists) || lists.length !== partitionCount) {
      throw invalid('lists does not have one list a partition');
    }
    const listLength = Math.min(replicaCount, members.length);
    const flat = new Uint16Array(partitionCount * listLength);
    for (let partition = 0; partition < partitionCount; partition++) {
      const list: unknown = lists[partition];
      if (!Array.isArray(list) || list.length !== listLength) {
        throw invalid(`list of partition ${partition} does not have ${listLength} members`);
      }
      for (let place = 0; place < listLength; place++) {
        const index: unknown = list[place];
        if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= members.length) {
          throw invalid(`list of partition ${partition} names no member`);
        }
        flat[partition * listLength + place] = index;
      }
    }
    return new Table({ epoch, partitionCount, replicaCount, members, lists: flat });
  }
}

/**
 * Checks that a partition count and a replica count can be used.
 *
 * @throws CodedError `invalid`.
 */
export function checkShape(partitionCount: number, replicaCount: number): void {
  if (!Number.isInteger(Math.log2(partitionCount)) || partitionCount < 1 || partitionCount > SLOT_COUNT) {
    throw invalid(`partitionCount ${partitionCount} is not a power of two up to ${SLOT_COUNT}`);
  }
  if (!Number.isInteger(replicaCount) || replicaCount < 1 || replicaCount > REPLICA_COUNT_MAX) {
    throw invalid(`replicaCount ${replicaCount} is not an integer from 1 to ${REPLICA_COUNT_MAX}`);
  }
}

/**
 * Checks members and returns them sorted by id (by UTF-16 code unit), the order of every table.
 *
 * @throws CodedError `invalid`: no members, too many, a duplicate id, or a weight out of range.
 */
export function sortedMembers(members: readonly RingMember[]): RingMember[] {
  if (members.length < 1 || members.length > MEMBER_COUNT_MAX) {
    throw invalid(`a table has 1 to ${MEMBER_COUNT_MAX} members, not ${members.length}`);
  }
  for (const member of members) checkMember(member);
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  for (let index = 1; index < sorted.length; index++) {
    if (sorted[index]!.id === sorted[index - 1]!.id) throw invalid(`duplicate member ${sorted[index]!.id}`);
  }
  return sorted;
}

function checkMember(member: unknown): void {
  if (!isRecord(member)) throw invalid('a member is not an object');
  const { id, weight, zone } = member;
  if (typeof id !== 'string' || id.length < 1 || id.length > ID_LENGTH_MAX)
    throw invalid('a member has no id');
  if (typeof weight !== 'number' || !(weight > 0 && weight <= WEIGHT_MAX)) {
    throw invalid(`weight of ${id} is not above 0 and up to ${WEIGHT_MAX}`);
  }
  if (typeof zone !== 'string' || zone.length > ID_LENGTH_MAX) throw invalid(`zone of ${id} is not a text`);
}

function checkContent(content: TableContent): void {
  const { epoch, partitionCount, replicaCount, members, lists } = content;
  if (!Number.isSafeInteger(epoch) || epoch < 1) throw invalid('epoch is not a positive integer');
  checkShape(partitionCount, replicaCount);
  const sorted = sortedMembers(members);
  if (sorted.some((member, index) => member !== members[index]))
    throw invalid('members are not sorted by id');
  const listLength = Math.min(replicaCount, members.length);
  if (lists.length !== partitionCount * listLength) throw invalid('lists has the wrong length');
  for (let partition = 0; partition < partitionCount; partition++) {
    const list = lists.subarray(partition * listLength, (partition + 1) * listLength);
    for (let place = 0; place < listLength; place++) {
      if (list[place]! >= members.length) throw invalid(`list of partition ${partition} names no member`);
      if (list.indexOf(list[place]!) !== place) {
        throw invalid(`list of partition ${partition} names a member twice`);
      }
    }
  }
}

function checkNumber(value: unknown, name: string): asserts value is number {
  if (typeof value !== 'number') throw invalid(`${name} is not a number`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(fault: string): CodedError {
  return new CodedError('invalid', 'none', `ring table: ${fault}`);
}
