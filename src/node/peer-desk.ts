/**
 * The peer desk: what arrives from other members. It serves what they ask of our replica, and hands
 * their answers to the flights that wait for them.
 */

import type { ByteReader, ByteString } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import { CodedError } from '../base/errors.ts';
import type { Plan } from '../coordinator/plan.ts';
import type { Policy } from '../coordinator/policy.ts';
import { ReadCore } from '../coordinator/read-core.ts';
import { horizonOfRow, mergeHanded } from '../replica/hand.ts';
import type { ReadWaiter, StoredWaiter } from '../replica/replica.ts';
import { mayListAll } from '../replica/vouching.ts';
import { SLOT_COUNT } from '../ring/slots.ts';
import { isRowKey, rowKeySlot } from '../rows/key.ts';
import type { Row, Stamp } from '../rows/row.ts';
import { compareStamps, isRowIntact, ROW_HEADER_BYTES, rowStamp, STAMP_NONE } from '../rows/row.ts';
import { isMade } from '../rows/siblings.ts';
import type { ForwardHead, MessageHandler, ScanRow } from '../wire/messages.ts';
import {
  FORWARD_READ,
  FORWARD_UPDATE,
  FORWARD_WRITE,
  writeCountReply,
  writeError,
  writeForwardReplyHead,
  writeReadEqual,
  writeReadFloor,
  writeReadRow,
  writeReadStamp,
  writeRefused,
  writeScanReply,
} from '../wire/messages.ts';
import type { RequestOptions, UpdateReply } from './api.ts';
import type { NodeContext } from './context.ts';
import { isTooFarAhead, observeRow, observeStamp } from './context.ts';
import type { Desk } from './desk.ts';
import {
  readUpdateCall,
  readWriteCall,
  STATUS_ERROR,
  STATUS_NONE,
  STATUS_REPLY,
  STATUS_ROW,
  STATUS_WRITTEN,
  writeReply,
} from './forward-codec.ts';
import type { Link } from './links.ts';
import type { LocalScans } from './local-scans.ts';
import { OwedStored } from './owed-stored.ts';
import type { Requests } from './requests.ts';

/** Owes a peer the answer to a READ: at once, or when the row is durable if its time is not over by then. */
class OwedRead implements ReadWaiter {
  isAnswered = false;
  /** Monotonic time after which nobody waits for the answer; set for those that are not answered at once. */
  deadline: number = Number.POSITIVE_INFINITY;
  readonly #context: NodeContext;
  readonly #link: Link;
  readonly #generation: number;
  readonly #id: number;
  readonly #stampOnly: boolean;
  readonly #theirs: Stamp;
  /** The row asked for; undefined for a stand-in, whose word is no replica's. */
  readonly #rowKey: ByteString | undefined;

  constructor(
    context: NodeContext,
    link: Link,
    id: number,
    stampOnly: boolean,
    theirs: Stamp,
    rowKey: ByteString | undefined,
  ) {
    this.#context = context;
    this.#link = link;
    this.#generation = link.generation;
    this.#id = id;
    this.#stampOnly = stampOnly;
    this.#theirs = theirs;
    this.#rowKey = rowKey;
  }

  local(error: CodedError | undefined, stamp: Stamp, row: Row | undefined): void {
    this.isAnswered = true;
    if (this.deadline !== Number.POSITIVE_INFINITY && this.#context.now() >= this.deadline) return;
    const writer =
      this.#link.generation === this.#generation ? this.#context.links.writer(this.#link) : undefined;
    if (writer === undefined) return;
    if (error !== undefined) {
      writeRefused(writer, this.#id, error.code);
      return;
    }
    const order = compareStamps(stamp, this.#theirs);
    // Of siblings the lesser stamp may know what the greater does not.
    const mixed = row !== undefined && !this.#stampOnly && (isMade(stamp) || isMade(this.#theirs));
    if (order === 0) writeReadEqual(writer, this.#id);
    else if ((order < 0 && !mixed) || this.#stampOnly) writeReadStamp(writer, this.#id, stamp);
    else if (row !== undefined) writeReadRow(writer, this.#id, row, this.#horizon);
    else writeReadFloor(writer, this.#id, stamp);
  }

  get #horizon(): number {
    return this.#rowKey === undefined ? 0 : horizonOfRow(this.#context.replica, this.#rowKey);
  }
}

/**
 * A read of what this node holds as an owner by the second list, and of what it keeps for others: the newest of both,
 * and siblings of both together.
 */
class ReadOfBoth implements ReadWaiter {
  readonly #context: NodeContext;
  readonly #rowKey: ByteString;
  readonly #plan: Plan;
  readonly #out: ReadWaiter;
  readonly #core: ReadCore;

  constructor(context: NodeContext, rowKey: ByteString, plan: Plan, out: ReadWaiter) {
    this.#context = context;
    this.#rowKey = rowKey;
    this.#plan = plan;
    this.#out = out;
    this.#core = new ReadCore(2, rowKey);
  }

  start(): void {
    this.#context.replica.read(this.#rowKey, this);
  }

  local(error: CodedError | undefined, stamp: Stamp, row: Row | undefined): void {
    if (error !== undefined) {
      this.#out.local(error, stamp, row);
      return;
    }
    this.#core.add(this.#context.self, stamp, row);
    if (this.#core.isEnough) this.#out.local(undefined, this.#core.stamp, this.#core.row);
    else this.#context.hints.read(this.#rowKey, this.#plan.replicas, this);
  }
}

/** The policy that the asking node found for a forwarded request. */
function policyOfHead({ r, w, strict, siblings, siblingsError, ttlMs }: ForwardHead): Policy {
  if (!siblings) return { r, w, strict, ttlMs };
  return { r, w, strict, ttlMs, conflicts: 'siblings', siblingsRead: siblingsError ? 'error' : 'newest' };
}

/** @throws CodedError `protocol` for a flush with the stamp of siblings: those of flushes are issued. */
function checkFloor(stamp: Stamp): void {
  if (isMade(stamp)) throw new CodedError('protocol', 'none', 'a flush with the made stamp of siblings');
}

export class PeerDesk implements MessageHandler<Link> {
  readonly #context: NodeContext;
  readonly #requests: Requests;
  readonly #scans: LocalScans;
  readonly #desks: ReadonlyMap<number, Desk>;
  readonly #handedOver: (slot: number) => void;

  /**
   * @param desks those that take the messages of families
   * @param handedOver is told of the slot of each row that another node kept for this one, before it is stored
   */
  constructor(
    context: NodeContext,
    requests: Requests,
    scans: LocalScans,
    desks: readonly Desk[],
    handedOver: (slot: number) => void,
  ) {
    this.#context = context;
    this.#handedOver = handedOver;
    this.#requests = requests;
    this.#scans = scans;
    this.#desks = new Map(desks.map((desk) => [desk.family, desk]));
  }

  family(link: Link, type: number, id: number, reader: ByteReader): void {
    const desk = this.#desks.get(Math.floor(type / 10));
    if (desk === undefined) throw new CodedError('protocol', 'none', `message of unknown type ${type}`);
    desk.message(link, type, id, reader);
  }

  read(
    link: Link,
    id: number,
    timeoutMs: number,
    stampOnly: boolean,
    rowKey: ByteString,
    stamp: Uint8Array,
    strict: boolean,
  ): void {
    if (!isRowKey(rowKey)) throw new CodedError('protocol', 'none', 'a READ of no row key');
    const { vouching, plans } = this.#context;
    const slot = rowKeySlot(rowKey);
    const plan = plans.of(slot);
    // Who asks may stand on the page before ours or after it: an owner by either list answers as one.
    const held = plan.selfIsTarget ? rowKey : undefined;
    const owed = new OwedRead(this.#context, link, id, stampOnly, stamp, held);
    if (!plan.selfIsTarget && !strict) {
      // A stand-in answers from what it keeps for the replicas.
      this.#context.hints.read(rowKey, plan.replicas, owed);
    } else if (!plan.selfIsTarget) {
      // What an owner of long ago still holds makes no quorum.
      this.#refuse(link, id, 'unavailable');
      return;
    } else if (!vouching.isWhole && !vouching.mayAnswer(slot, strict)) {
      this.#refuse(link, id, 'unavailable');
      return;
    } else if (plan.selfIsReplica || strict) {
      this.#context.replica.read(rowKey, owed);
    } else {
      // On the page before, this node may have been a stand-in.
      new ReadOfBoth(this.#context, rowKey, plan, owed).start();
    }
    // Nearly all are answered by now, and need no look at the clock.
    if (!owed.isAnswered) owed.deadline = this.#context.now() + timeoutMs;
  }

  write(link: Link, id: number, rowKey: ByteString, row: Uint8Array): void {
    this.#store(link, id, rowKey, row, 0);
  }

  hand(link: Link, id: number, rowKey: ByteString, row: Uint8Array, horizon: number): void {
    if (horizon === 0 && isRowKey(rowKey)) this.#handedOver(rowKeySlot(rowKey));
    this.#store(link, id, rowKey, row, horizon);
  }

  #store(link: Link, id: number, rowKey: ByteString, row: Uint8Array, horizon: number): void {
    const context = this.#context;
    if (!isRowKey(rowKey) || row.length < ROW_HEADER_BYTES) {
      throw new CodedError('protocol', 'none', 'a WRITE without a whole row');
    }
    const stamp = rowStamp(row);
    if (isTooFarAhead(context, stamp)) {
      context.tally.rowsRefusedClock++;
      context.log.write('alarm', 'row-refused-clock', {
        peer: link.member.id,
        meaning: 'a row is stamped further ahead of our clock than clockOffsetMaxMs: check both clocks',
      });
      this.#refuse(link, id, 'clock-offset');
      return;
    }
    if (!context.mutants.has('frame-unchecked') && !isRowIntact(rowKey, row)) {
      this.#refuse(link, id, 'corrupt');
      return;
    }
    observeRow(context, row);
    const owed = id === 0 ? undefined : new OwedStored(context, link, id);
    mergeHanded(context.replica, rowKey, row, horizon, owed);
  }

  floor(link: Link, id: number, stamp: Uint8Array): void {
    if (compareStamps(stamp, STAMP_NONE) === 0) {
      const writer = this.#context.links.writer(link);
      if (writer !== undefined) writeReadStamp(writer, id, this.#context.identity.highest());
      return;
    }
    checkFloor(stamp);
    if (isTooFarAhead(this.#context, stamp)) {
      this.#refuse(link, id, 'clock-offset');
      return;
    }
    this.#raiseFloor(stamp, id === 0 ? undefined : new OwedStored(this.#context, link, id));
  }

  #raiseFloor(stamp: Stamp, waiter: StoredWaiter | undefined): void {
    const context = this.#context;
    observeStamp(context, stamp);
    const raised = compareStamps(stamp, context.replica.floor) > 0;
    context.replica.raiseFloor(stamp, waiter);
    if (raised) this.#scans.sweepFromStart();
  }

  #refuse(link: Link, id: number, code: ErrorCode): void {
    const writer = id === 0 ? undefined : this.#context.links.writer(link);
    if (writer !== undefined) writeRefused(writer, id, code);
  }

  readEqual(link: Link, id: number): void {
    this.#context.flights.get(id)?.readEqual(link);
  }

  readStamp(link: Link, id: number, stamp: Uint8Array): void {
    this.#context.flights.get(id)?.readStamp(link, stamp);
  }

  readRow(link: Link, id: number, row: Uint8Array, horizon: number): void {
    if (row.length < ROW_HEADER_BYTES)
      throw new CodedError('protocol', 'none', 'a READ_ROW without a whole row');
    this.#context.flights.get(id)?.readRow(link, row, horizon);
  }

  readFloor(link: Link, id: number, stamp: Uint8Array): void {
    checkFloor(stamp);
    this.#context.flights.get(id)?.readFloor(link, stamp);
  }

  stored(link: Link, id: number): void {
    // A late word of a life that has ended: the disk it speaks of may be lost.
    if (link.frameOrder.isOfPastLife && !this.#context.mutants.has('former-life-counted')) return;
    this.#context.flights.get(id)?.storedBy(link.member.id);
  }

  refused(link: Link, id: number, code: ErrorCode): void {
    this.#context.flights.get(id)?.refusedBy(link.member.id, code);
  }

  ping(link: Link, sequence: number, _wall: number, floor: Uint8Array, gossip: ByteReader): void {
    const context = this.#context;
    checkFloor(floor);
    if (compareStamps(floor, context.replica.floor) > 0 && !isTooFarAhead(context, floor)) {
      this.#raiseFloor(floor, undefined);
    }
    context.links.pinged(link, sequence, gossip, context.now(), context.wall());
  }

  pong(link: Link, sequence: number, wall: number, gossip: ByteReader): void {
    const context = this.#context;
    context.links.pong(link, sequence, wall, gossip, context.now(), context.wall());
  }

  forward(link: Link, head: ForwardHead, body: ByteReader): void {
    const { timeoutMs, key } = head;
    const options: RequestOptions = { policy: policyOfHead(head), timeoutMs };
    const answer = this.#answerForward(link, head.id);
    if (head.kind === FORWARD_READ) {
      this.#requests.read(key, options, true, (error, row) => answer(error, STATUS_ROW, row));
    } else if (head.kind === FORWARD_WRITE) {
      const { context, ...written } = readWriteCall(body);
      const withContext = context.length === 0 ? options : { ...options, context };
      this.#requests.write(key, written, withContext, true, (error) => answer(error, STATUS_WRITTEN));
    } else if (head.kind === FORWARD_UPDATE) {
      const { operation, args } = readUpdateCall(body);
      this.#requests.update(key, operation, args, options, true, (error, reply) =>
        answer(error, STATUS_REPLY, undefined, reply),
      );
    } else {
      throw new CodedError('protocol', 'none', `FORWARD of unknown kind ${head.kind}`);
    }
  }

  #answerForward(
    link: Link,
    id: number,
  ): (error: CodedError | undefined, status: number, row?: Uint8Array, reply?: UpdateReply) => void {
    const generation = link.generation;
    return (error, status, row, reply) => {
      const writer = link.generation === generation ? this.#context.links.writer(link) : undefined;
      if (writer === undefined) return;
      const missing = status === STATUS_ROW && row === undefined;
      const shown = error !== undefined ? STATUS_ERROR : missing ? STATUS_NONE : status;
      const at = writeForwardReplyHead(writer, id, shown);
      if (error !== undefined) writeError(writer, error);
      else if (row !== undefined) writer.blob(row);
      else if (status === STATUS_REPLY) writeReply(writer, reply ?? null);
      writer.blobEnd(at);
    };
  }

  forwardReply(link: Link, id: number, status: number, body: ByteReader): void {
    this.#context.flights.get(id)?.forwardReply(link.member.id, status, body);
  }

  scan(link: Link, id: number, timeoutMs: number, cursor: number, slotEnd: number, count: number): void {
    if (slotEnd > SLOT_COUNT || cursor >= slotEnd * 0x1_0000_0000) {
      throw new CodedError('protocol', 'none', `a SCAN of slots up to ${slotEnd} from position ${cursor}`);
    }
    if (!this.#context.vouching.mayList(Math.floor(cursor / 0x1_0000_0000), slotEnd)) {
      this.#refuse(link, id, 'unavailable');
      return;
    }
    const wanted = this.#wanted(link, timeoutMs);
    this.#scans.scan(cursor, slotEnd, count, wanted, (error, cursorNext, rows) => {
      if (!wanted()) return;
      const writer = error === undefined ? this.#context.links.writer(link) : undefined;
      if (error !== undefined) this.#refuse(link, id, error.code);
      else if (writer !== undefined) writeScanReply(writer, id, cursorNext, rows);
    });
  }

  /** Whether a peer still waits: its time is not over, and the pipe to it is the same. */
  #wanted(link: Link, timeoutMs: number): () => boolean {
    const generation = link.generation;
    const deadline = this.#context.now() + timeoutMs;
    return () => link.generation === generation && this.#context.now() < deadline;
  }

  scanReply(link: Link, id: number, cursorNext: number, rows: readonly ScanRow[]): void {
    this.#context.flights.get(id)?.scanReply(link.member.id, cursorNext, rows);
  }

  count(link: Link, id: number, timeoutMs: number, ranges: readonly number[]): void {
    const inOrder = ranges.every((bound, i) => bound <= SLOT_COUNT && bound >= (ranges[i - 1] ?? 0));
    if (!inOrder || ranges.length % 2 !== 0)
      throw new CodedError('protocol', 'none', 'a COUNT of no ranges of slots');
    if (!mayListAll(this.#context.vouching, ranges)) {
      this.#refuse(link, id, 'unavailable');
      return;
    }
    const wanted = this.#wanted(link, timeoutMs);
    this.#scans.count(ranges, wanted, (error, count) => {
      if (!wanted()) return;
      const writer = error === undefined ? this.#context.links.writer(link) : undefined;
      if (error !== undefined) this.#refuse(link, id, error.code);
      else if (writer !== undefined) writeCountReply(writer, id, count);
    });
  }

  countReply(link: Link, id: number, count: number): void {
    this.#context.flights.get(id)?.countReply(link.member.id, count);
  }
}
