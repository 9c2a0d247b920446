/**
 * The shape of the trees: which leaves make a partition, and how a node is named on the wire.
 *
 * A node is a stretch of leaves whose length is a power of two, `2^level`; its children are four quarters
 * (two halves at level 1). Four at a time cost the fewest bytes for a single difference: five hashes and a
 * name a level, and half as many levels as halves would have.
 */

import { BUCKET_BITS, BUCKETS_PER_SLOT, SLOT_BITS } from '../merkle/hash-forest.ts';
import type { RowHash } from '../merkle/row-hash.ts';

const leafBits = SLOT_BITS + BUCKET_BITS;
const leafMask = (1 << leafBits) - 1;
export const LEAF_COUNT: number = 1 << leafBits;

/** A node of a tree: level * 2^18 + first leaf. Fits 24 bits. */
export type TreeNode = number;

export function treeNode(first: number, level: number): TreeNode {
  return (level << leafBits) | first;
}

export function nodeFirst(node: TreeNode): number {
  return node & leafMask;
}

export function nodeLevel(node: TreeNode): number {
  return node >>> leafBits;
}

/** Whether a number from a peer names a node that has children. */
export function isInnerNode(node: number): boolean {
  const level = nodeLevel(node);
  return level >= 1 && level <= leafBits && nodeFirst(node) % 2 ** level === 0;
}

export function isLeaf(leaf: number): boolean {
  return leaf <= leafMask;
}

/** The root of a partition's tree. */
export function partitionRoot(partition: number, partitionCount: number): TreeNode {
  const level = leafBits - Math.log2(partitionCount);
  return treeNode(partition * 2 ** level, level);
}

export function partitionOfLeaf(leaf: number, partitionCount: number): number {
  return leaf >>> (leafBits - Math.log2(partitionCount));
}

/** How many children an inner node has: 4, or 2 at level 1. */
export function childCount(node: TreeNode): number {
  return nodeLevel(node) === 1 ? 2 : 4;
}

export function childOf(node: TreeNode, index: number): TreeNode {
  const level = nodeLevel(node) - (childCount(node) === 4 ? 2 : 1);
  return treeNode(nodeFirst(node) + index * 2 ** level, level);
}

/** Lists of slots of nodes that span several: roots, mostly, which are asked for again and again. */
const slotLists: Map<TreeNode, readonly number[]> = new Map();
const slotListsMax = 4096;

/** The slots a node lies in, ascending. */
export function slotsOfNode(node: TreeNode): readonly number[] {
  const known = slotLists.get(node);
  if (known !== undefined) return known;
  const first = nodeFirst(node) >>> BUCKET_BITS;
  const count = Math.max(1, 2 ** nodeLevel(node) / BUCKETS_PER_SLOT);
  const slots = new Array<number>(count);
  for (let i = 0; i < count; i++) slots[i] = first + i;
  if (count > 1 && slotLists.size < slotListsMax) slotLists.set(node, slots);
  return slots;
}

/** Ascending, each once. */
export function ascending(numbers: Iterable<number>): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** Bytes of a short hash of a key, of a version and of a node, in narrow comparisons. */
const narrowBytes = 3;
const narrowShift = 8;

/** How short hashes are made in one comparison. */
export class Shortening {
  readonly wide: boolean;
  readonly salt: number;
  readonly keyBytes: number;

  constructor(wide: boolean, salt: number) {
    this.wide = wide;
    this.salt = salt;
    this.keyBytes = wide ? 4 : narrowBytes;
  }

  /** 32 bits, of which `key` sends the upper ones. */
  keyFull(hash: RowHash): number {
    return hash.shortKey(this.salt);
  }

  key(full: number): number {
    return this.wide ? full : full >>> narrowShift;
  }

  /** A number of up to 24 bits; 64 bits as a double are not exact, so a wide one is two numbers. */
  version(hash: RowHash): number {
    return hash.shortVersion(this.salt) >>> narrowShift;
  }

  /** The lanes take turns from round to round. */
  node(hash: { readonly a: number; readonly b: number }): number {
    return ((this.salt & 1) === 0 ? hash.a : hash.b) >>> narrowShift;
  }
}

/** Whether a key's short hash belongs to a part of a bucket (`partsLog` 0: all of it). */
export function isInPart(keyFull: number, partsLog: number, part: number): boolean {
  return partsLog === 0 || keyFull >>> (32 - partsLog) === part;
}
