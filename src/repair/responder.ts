/**
 * The answering side of a comparison. It keeps nothing between two questions: each is answered from the
 * leaves and the rows as they are now, so that nothing has to be cleaned up when the asker is gone.
 *
 * A body is read whole before anything else happens, because its frame is only lent.
 */

import type { ByteReader, ByteWriter } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import { foldTime } from '../merkle/row-hash.ts';
import type { NodeId } from '../ports/transport.ts';
import type { RowKey } from '../rows/key.ts';
import { rowKeySlot } from '../rows/key.ts';
import type { Row } from '../rows/row.ts';
import { rowTime } from '../rows/row.ts';
import type { RepairHead } from '../wire/repair-messages.ts';
import {
  REPAIR_BUSY,
  REPAIR_ENTRIES,
  REPAIR_ENTRIES_REPLY,
  REPAIR_FAILED,
  REPAIR_FETCH,
  REPAIR_NODES,
  REPAIR_NODES_REPLY,
  REPAIR_OK,
  REPAIR_PUSH,
  REPAIR_PUSHED,
  REPAIR_ROOTS,
  REPAIR_ROOTS_REPLY,
  REPAIR_ROWS,
  readRepairHead,
  readShort,
  writeBits,
} from '../wire/repair-messages.ts';
import type { AskedBucket, AskedRoot, MetRow } from './asked.ts';
import { meetBucket, readAskedBucket, readAskedRoots } from './asked.ts';
import type { BucketAnswer, Footing } from './codec.ts';
import {
  BUCKETS_MAX,
  ENTRIES_MAX,
  FETCH_ALL,
  type FetchAll,
  horizonMark,
  NODES_MAX,
  nonsense,
  PAGE_BYTES_MAX,
  ROWS_BYTES_MAX,
  readBucketPart,
  readCount,
  readEqualNodeHash,
  readFetchAll,
  readFooting,
  readRow,
  readTreeNode,
  versionOf,
  writeBucketAnswer,
  writeFooting,
  writeHash,
  writeRow,
} from './codec.ts';
import type { CarriedRow, LocalRows, Need, RepairMutants } from './ports.ts';
import {
  ascending,
  childCount,
  childOf,
  isInnerNode,
  isInPart,
  nodeFirst,
  nodeLevel,
  partitionOfLeaf,
  partitionRoot,
  Shortening,
  slotsOfNode,
} from './tree.ts';

/** Roots are answered after so long at the latest, those that are there by then, milliseconds. */
const rootsWithinMs = 3000;

/** Sends an answer, now or later; `write` appends its body. */
export type RepairAnswer = (type: number, status: number, write?: (writer: ByteWriter) => void) => void;

export type ComparedByPeer = (peer: NodeId, partition: number, equal: boolean) => void;

/** What the answering side did, for figures. */
export interface ResponderFigures {
  rowsSent: number;
  rowsTaken: number;
  rowsDropped: number;
  rowBytesSent: number;
  rowBytesTaken: number;
}

export class Responder {
  readonly figures: ResponderFigures = {
    rowsSent: 0,
    rowsTaken: 0,
    rowsDropped: 0,
    rowBytesSent: 0,
    rowBytesTaken: 0,
  };
  readonly #local: LocalRows;
  readonly #mutants: RepairMutants;
  readonly #lookWithinMs: number;
  readonly #compared: ComparedByPeer;

  /**
   * @param lookWithinMs a look at storage is given up after this, milliseconds
   * @param compared told of each partition that a peer asked about
   */
  constructor(local: LocalRows, mutants: RepairMutants, lookWithinMs: number, compared: ComparedByPeer) {
    this.#local = local;
    this.#mutants = mutants;
    this.#lookWithinMs = lookWithinMs;
    this.#compared = compared;
  }

  /** Takes a question. @throws CodedError `protocol` for one that makes no sense. */
  ask(peer: NodeId, type: number, reader: ByteReader, answer: RepairAnswer): void {
    const head = readRepairHead(reader);
    switch (type) {
      case REPAIR_ROOTS:
        this.#roots(peer, head, reader, answer);
        return;
      case REPAIR_NODES:
        this.#nodes(head, reader, answer);
        return;
      case REPAIR_ENTRIES:
        this.#entries(head, reader, answer);
        return;
      case REPAIR_FETCH:
        this.#fetch(head, reader, answer);
        return;
      case REPAIR_PUSH:
        this.#push(peer, head, reader, answer);
        return;
      default:
        throw nonsense(`a question of type ${type}`);
    }
  }

  #need(head: RepairHead, withinMs: number = this.#lookWithinMs): Need {
    const now = this.#local.now();
    const { urgent, rescan } = head;
    return { since: now - head.ageMs, rescan, urgent, until: now + withinMs };
  }

  #roots(peer: NodeId, head: RepairHead, reader: ByteReader, answer: RepairAnswer): void {
    let footing = head.wide && reader.u8() === 1 ? readFooting(reader) : undefined;
    const asked = readAskedRoots(reader, head.wide, this.#local.partitionCount);
    for (const { partition, horizon } of asked) {
      if (horizon <= this.#local.horizonOf(partition)) continue;
      // A late request may have slipped in since we began to weigh.
      if (this.#local.raiseFence(partition, horizon)) footing = undefined;
    }
    const [first] = asked;
    if (!head.wide || first === undefined || footing !== undefined) {
      this.#weighRoots(peer, head, asked, footing, answer);
      return;
    }
    // Read before the trays went: a row that is counted already lies in storage when weighing begins.
    const token = this.#local.token(first.partition, peer);
    this.#local.refresh([], this.#need(head), () => {
      this.#weighRoots(peer, head, asked, { token, since: this.#local.now() }, answer);
    });
  }

  #weighRoots(
    peer: NodeId,
    head: RepairHead,
    asked: readonly AskedRoot[],
    footing: Footing | undefined,
    answer: RepairAnswer,
  ): void {
    const within = this.#need(head, Math.min(rootsWithinMs, this.#lookWithinMs));
    const need = { ...within, since: footing?.since ?? within.since };
    let done = 0;
    const next = (error: CodedError | undefined): void => {
      if (error === undefined && done < asked.length) {
        const { partition } = asked[done]!;
        if (!this.#local.isReplica(partition)) answer(REPAIR_ROOTS_REPLY, REPAIR_FAILED);
        else {
          const slots = slotsOfNode(partitionRoot(partition, this.#local.partitionCount));
          this.#local.refresh(slots, need, (failure) => {
            if (failure === undefined) done++;
            next(failure);
          });
        }
        return;
      }
      // What was weighed in time is answered; the rest is asked about again, and goes on where it was.
      if (error !== undefined && error.code !== 'deadline-exceeded')
        refuse(answer, REPAIR_ROOTS_REPLY, error);
      else this.#answerRoots(peer, head, asked.slice(0, done), footing, answer);
    };
    next(undefined);
  }

  #answerRoots(
    peer: NodeId,
    head: RepairHead,
    asked: readonly AskedRoot[],
    footing: Footing | undefined,
    answer: RepairAnswer,
  ): void {
    const local = this.#local;
    const differs = asked.map((root) => {
      const own = this.#rootOf(root.partition);
      if (head.wide) {
        const same = own.a === root.a && own.b === root.b;
        return !same || local.horizonOf(root.partition) !== root.horizon;
      }
      const [a, b] = foldTime(own.a, own.b, local.horizonOf(root.partition));
      return a !== root.a || b !== root.b;
    });
    asked.forEach(({ partition }, i) => {
      this.#compared(peer, partition, !differs[i]);
    });
    answer(REPAIR_ROOTS_REPLY, REPAIR_OK, (writer) => {
      writer.u16(asked.length);
      writeBits(writer, differs);
      if (footing !== undefined) writeFooting(writer, footing);
      asked.forEach(({ partition }, i) => {
        if (!differs[i]) return;
        writer.u48(local.horizonOf(partition));
        if (head.wide) writeHash(writer, this.#rootOf(partition));
      });
    });
  }

  /**
   * Whether this node is to hold what lies at a leaf. Of other rows it may have deleted some because their owners
   * hold them: by comparing with them nobody would learn what was deleted by a client.
   */
  #isOurs(leaf: number): boolean {
    return this.#local.isReplica(partitionOfLeaf(leaf, this.#local.partitionCount));
  }

  #rootOf(partition: number): { a: number; b: number } {
    const root = partitionRoot(partition, this.#local.partitionCount);
    return this.#local.sum(nodeFirst(root), 2 ** nodeLevel(root));
  }

  #nodes(head: RepairHead, reader: ByteReader, answer: RepairAnswer): void {
    const short = new Shortening(head.wide, head.salt);
    const count = reader.u16();
    if (count > NODES_MAX) throw nonsense('too many nodes');
    const nodes: number[] = [];
    const equal: ReturnType<typeof readEqualNodeHash>[][] = [];
    for (let left = count; left > 0; left--) {
      const node = readTreeNode(reader);
      if (!isInnerNode(node)) throw nonsense('a node that has no children');
      nodes.push(node);
      equal.push(Array.from({ length: childCount(node) }, () => readEqualNodeHash(reader, short)));
    }
    const slots = ascending(nodes.flatMap(slotsOfNode));
    if (!nodes.every((node) => this.#isOurs(nodeFirst(node)))) {
      answer(REPAIR_NODES_REPLY, REPAIR_BUSY);
      return;
    }
    this.#local.refresh(slots, this.#need(head), (error) => {
      if (error !== undefined) {
        refuse(answer, REPAIR_NODES_REPLY, error);
        return;
      }
      const differs = nodes.flatMap((node, i) =>
        equal[i]!.map((isEqual, child) => {
          const at = childOf(node, child);
          return !isEqual(this.#local.sum(nodeFirst(at), 2 ** nodeLevel(at)));
        }),
      );
      answer(REPAIR_NODES_REPLY, REPAIR_OK, (writer) => writeBits(writer, differs));
    });
  }

  #entries(head: RepairHead, reader: ByteReader, answer: RepairAnswer): void {
    const short = new Shortening(head.wide, head.salt);
    const theirHorizon = head.wide ? reader.u48() : 0;
    const count = reader.u16();
    if (count > BUCKETS_MAX) throw nonsense('too many buckets');
    const asked: AskedBucket[] = [];
    for (let left = count; left > 0; left--) asked.push(readAskedBucket(reader, short));
    const areOurs = (): boolean => asked.every(({ item }) => this.#isOurs(item.leaf));
    if (!areOurs()) {
      answer(REPAIR_ENTRIES_REPLY, REPAIR_BUSY);
      return;
    }
    const byLeaf = new Map<number, AskedBucket[]>();
    for (const bucket of asked) {
      const parts = byLeaf.get(bucket.item.leaf);
      if (parts === undefined) byLeaf.set(bucket.item.leaf, [bucket]);
      else parts.push(bucket);
    }
    this.#local.collect(
      ascending(byLeaf.keys()),
      this.#need(head),
      (leaf, hash, rowKey, row) => {
        const full = short.keyFull(hash);
        for (const bucket of byLeaf.get(leaf)!) {
          if (!isInPart(full, bucket.item.partsLog, bucket.item.part)) continue;
          // A damaged row is mended by a quorum read; this comparison leaves it alone.
          if (row === undefined) bucket.indices.set(short.key(full), -1);
          else
            this.#meet(
              bucket,
              { key: short.key(full), version: versionOf(hash, short), rowKey, row },
              theirHorizon,
            );
          if (row === undefined) bucket.damaged++;
        }
      },
      (error) => {
        if (error !== undefined || !areOurs()) {
          refuse(answer, REPAIR_ENTRIES_REPLY, error);
          return;
        }
        const answers = asked.map((bucket) => this.#bucketAnswer(bucket));
        answer(REPAIR_ENTRIES_REPLY, REPAIR_OK, (writer) => {
          answers.forEach((one, i) => {
            writeBucketAnswer(writer, short, asked[i]!.versions.length, one);
          });
        });
      },
    );
  }

  /** A row of ours meets the list of the asker. @param theirHorizon behind which rows that it lacks were deleted */
  #meet(bucket: AskedBucket, met: MetRow, theirHorizon: number): void {
    const horizon = this.#local.horizonOf(partitionOfLeaf(bucket.item.leaf, this.#local.partitionCount));
    const settledThere = theirHorizon > horizon && rowTime(met.row) <= theirHorizon;
    meetBucket(bucket, met, settledThere, this.#mutants.horizonNotCaughtUp);
  }

  #bucketAnswer(bucket: AskedBucket): BucketAnswer {
    const { others, only, drops } = bucket;
    const split = only.length + others.length > ENTRIES_MAX;
    const wants: number[] = [];
    if (!split) {
      for (const [, index] of bucket.indices) if (index >= 0 && !bucket.found[index]) wants.push(index);
    }
    let dropped = 0;
    if (drops.length > 0) {
      dropped = this.#local.drop(drops);
      this.figures.rowsDropped += dropped;
    }
    const unresolved = drops.length - dropped;
    return { split, wants, others, only, dropped, unresolved, damaged: bucket.damaged };
  }

  #fetch(head: RepairHead, reader: ByteReader, answer: RepairAnswer): void {
    const short = new Shortening(head.wide, head.salt);
    const wanted = new Map<number, Set<number>>();
    const count = reader.u16();
    if (count === FETCH_ALL) {
      this.#fetchAll(head, readFetchAll(reader, this.#local.partitionCount), answer);
      return;
    }
    for (let left = count; left > 0; left--) {
      const { item } = readBucketPart(reader);
      const keys = wanted.get(item.leaf) ?? new Set<number>();
      wanted.set(item.leaf, keys);
      for (let keysLeft = readCount(reader); keysLeft > 0; keysLeft--) {
        keys.add(readShort(reader, short.keyBytes));
      }
    }
    if (![...wanted.keys()].every((leaf) => this.#isOurs(leaf))) {
      answer(REPAIR_ROWS, REPAIR_BUSY);
      return;
    }
    // Copied as they are met: the bytes are lent for the moment only.
    const rows: { rowKey: RowKey; row: Row }[] = [];
    let bytes = 0;
    let more = false;
    this.#local.collect(
      ascending(wanted.keys()),
      this.#need(head),
      (leaf, hash, rowKey, row) => {
        if (row === undefined || !wanted.get(leaf)!.has(short.key(short.keyFull(hash)))) return;
        if (bytes > 0 && bytes + rowKey.length + row.length > ROWS_BYTES_MAX) {
          more = true;
          return;
        }
        bytes += rowKey.length + row.length;
        rows.push({ rowKey, row: row.slice() });
      },
      (error) => {
        if (error !== undefined) {
          refuse(answer, REPAIR_ROWS, error);
          return;
        }
        this.#sendRows(head, rows, more, answer);
      },
    );
  }

  /** All rows of a partition behind a key: the asker has none. */
  #fetchAll(head: RepairHead, { partition, after }: FetchAll, answer: RepairAnswer): void {
    const isOurs = (): boolean => this.#local.isReplica(partition);
    if (!isOurs()) answer(REPAIR_ROWS, REPAIR_BUSY);
    else {
      this.#local.page(partition, after, PAGE_BYTES_MAX, head.urgent, (error, rows, more) => {
        if (error !== undefined || !isOurs()) refuse(answer, REPAIR_ROWS, error);
        else this.#sendRows(head, rows, more, answer);
      });
    }
  }

  #sendRows(head: RepairHead, rows: readonly CarriedRow[], more: boolean, answer: RepairAnswer): void {
    const bytes = rows.reduce((sum, { rowKey, row }) => sum + rowKey.length + row.length, 0);
    this.#local.whenAllowed(head.urgent, bytes, () => {
      this.figures.rowsSent += rows.length;
      this.figures.rowBytesSent += bytes;
      answer(REPAIR_ROWS, REPAIR_OK, (writer) => {
        writer.u8(more ? 1 : 0);
        writer.u16(rows.length);
        for (const { rowKey, row } of rows) writeRow(writer, rowKey, row);
      });
    });
  }

  #push(peer: NodeId, head: RepairHead, reader: ByteReader, answer: RepairAnswer): void {
    const settle =
      reader.u8() === 1 ? { partition: reader.u16(), horizon: reader.u48(), token: reader.u32() } : undefined;
    if (settle !== undefined && settle.partition >= this.#local.partitionCount)
      throw nonsense('no partition');
    let areOurs = settle === undefined || this.#local.isReplica(settle.partition);
    const rows: { rowKey: RowKey; row: Row | undefined; source: 'sync' | 'request' }[] = [];
    for (let groups = readCount(reader); groups > 0; groups--) {
      const partition = reader.u16();
      if (partition >= this.#local.partitionCount) throw nonsense('no partition');
      const own = this.#local.horizonOf(partition);
      const isBehind = head.wide ? reader.u48() < own : reader.u16() !== horizonMark(own);
      for (let left = readCount(reader); left > 0; left--) {
        const { rowKey, row } = readRow(reader);
        const at = partitionOfLeaf(rowKeySlot(rowKey) * 16, this.#local.partitionCount);
        if (at !== partition) throw nonsense('a row of another partition');
        areOurs &&= this.#local.isReplica(partition);
        rows.push({ rowKey, row, source: isBehind ? 'request' : 'sync' });
      }
    }
    if (!areOurs) {
      answer(REPAIR_PUSHED, REPAIR_BUSY);
      return;
    }
    let left = 1;
    let stored = 0;
    let refused = 0;
    const one = (error: CodedError | undefined, counted: number): void => {
      if (error === undefined) stored += counted;
      else refused += counted;
      if (--left > 0) return;
      this.figures.rowsTaken += stored;
      this.#settle(peer, settle, stored, refused, answer);
    };
    for (const { rowKey, row, source } of rows) {
      left++;
      this.figures.rowBytesTaken += rowKey.length + (row?.length ?? 0);
      if (row === undefined) one(nonsense('a row that is damaged'), 1);
      else this.#local.take(peer, rowKey, row, source, (error) => one(error, 1));
    }
    one(undefined, 0);
  }

  #settle(
    peer: NodeId,
    settle: { readonly partition: number; readonly horizon: number; readonly token: number } | undefined,
    stored: number,
    refused: number,
    answer: RepairAnswer,
  ): void {
    const reply = (settled: boolean): void =>
      answer(REPAIR_PUSHED, REPAIR_OK, (writer) => {
        writer.u16(stored);
        writer.u16(refused);
        writer.u8(settled ? 1 : 0);
      });
    if (settle === undefined || refused > 0) reply(false);
    else if (this.#local.token(settle.partition, peer) !== settle.token) reply(false);
    else this.#local.raiseHorizon(settle.partition, settle.horizon, (error) => reply(error === undefined));
  }
}

/** @param error undefined if the owners changed while rows were read */
function refuse(answer: RepairAnswer, type: number, error: CodedError | undefined): void {
  const busy = error === undefined || error.code === 'overloaded' || error.code === 'deadline-exceeded';
  answer(type, busy ? REPAIR_BUSY : REPAIR_FAILED);
}
