/**
 * Calls of anti-entropy: the questions this node asked and has no answer to, and the door where it answers
 * those of others. Bodies are blobs, so that an answer nobody waits for any more is passed over.
 */

import type { ByteReader } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { NodeId } from '../ports/transport.ts';
import type { RepairCall } from '../repair/ports.ts';
import type { Responder } from '../repair/responder.ts';
import { writeFamilyHead } from '../wire/messages.ts';
import {
  REPAIR_BUSY,
  REPAIR_MISSED,
  REPAIR_OK,
  REPAIR_PUSH,
  REPAIR_PUSHED,
  REPAIR_ROOTS,
  writeRepairHead,
} from '../wire/repair-messages.ts';
import type { NodeContext } from './context.ts';
import type { Link } from './links.ts';

/** Beside the time the peer may take, an answer is given this long, milliseconds. */
const answerMs = 2000;
const rootsMs = 3000;
/** What no question goes by. */
const missedId = 0;
/** Type, id and length before a body. */
const headBytes = 9;

interface Call {
  readonly link: Link;
  readonly until: number;
  readonly count: (bytes: number) => void;
  readonly done: (error: CodedError | undefined, reader: ByteReader | undefined) => void;
}

export class RepairCalls {
  readonly #context: NodeContext;
  readonly #responder: Responder;
  readonly #lookWithinMs: number;
  readonly #calls: Map<number, Call> = new Map();
  #id: number;
  /** Bytes of all messages, both directions, since start. */
  bytes = 0;

  /** @param firstId random, so that an answer to a former life of this node meets no call of now */
  constructor(context: NodeContext, responder: Responder, firstId: number, lookWithinMs: number) {
    this.#context = context;
    this.#responder = responder;
    this.#id = firstId;
    this.#lookWithinMs = lookWithinMs;
  }

  /** What a session asks its peer with. @param count told of the bytes of each message, both directions */
  caller(peer: NodeId, count: (bytes: number) => void): RepairCall {
    return (type, head, write, done) => {
      const link = this.#context.links.get(peer);
      const writer = link?.live === true ? this.#context.links.writer(link) : undefined;
      if (link === undefined || writer === undefined) {
        done(awayError(peer), undefined);
        return;
      }
      do {
        this.#id = (this.#id + 1) >>> 0;
      } while (this.#id === missedId || this.#calls.has(this.#id));
      const before = writer.length;
      writeFamilyHead(writer, type, this.#id);
      const at = writer.blobBegin();
      writeRepairHead(writer, head);
      write(writer);
      writer.blobEnd(at);
      const bytes = writer.length - before;
      this.bytes += bytes;
      count(bytes);
      const quick = type === REPAIR_ROOTS || type === REPAIR_PUSH;
      const withinMs = quick ? Math.min(rootsMs, this.#lookWithinMs) : this.#lookWithinMs;
      const until = this.#context.now() + withinMs + answerMs;
      this.#calls.set(this.#id, { link, until, count, done });
    };
  }

  /** Gives up calls whose time is over. */
  tick(now: number): void {
    for (const [id, call] of this.#calls) {
      if (now < call.until) continue;
      this.#calls.delete(id);
      call.done(new CodedError('deadline-exceeded', 'none', 'the peer did not answer in time'), undefined);
    }
  }

  /**
   * Frames of a peer were lost on their way to us: answers perhaps, so we wait for none; and questions perhaps,
   * which only we can know of.
   */
  framesLost(link: Link): void {
    this.peerLost(link, lostError());
    const writer = this.#context.links.writer(link);
    if (writer === undefined) return;
    writeFamilyHead(writer, REPAIR_PUSHED, missedId);
    const at = writer.blobBegin();
    writer.u8(REPAIR_MISSED);
    writer.blobEnd(at);
  }

  peerLost(link: Link, error: CodedError): void {
    for (const [id, call] of this.#calls) {
      if (call.link !== link) continue;
      this.#calls.delete(id);
      call.done(error, undefined);
    }
  }

  /** Takes a question or an answer. @throws CodedError `protocol` for one that makes no sense */
  message(link: Link, type: number, id: number, reader: ByteReader): void {
    const body = reader.blobReader();
    this.bytes += body.remaining + headBytes;
    if (type % 2 === 1) {
      this.#answered(link, id, body);
      return;
    }
    const { generation } = link;
    this.#responder.ask(link.member.id, type, body, (replyType, status, write) => {
      const writer = link.generation === generation ? this.#context.links.writer(link) : undefined;
      if (writer === undefined) return;
      const before = writer.length;
      writeFamilyHead(writer, replyType, id);
      const at = writer.blobBegin();
      writer.u8(status);
      write?.(writer);
      writer.blobEnd(at);
      this.bytes += writer.length - before;
    });
  }

  #answered(link: Link, id: number, body: ByteReader): void {
    if (id === missedId) {
      if (body.u8() === REPAIR_MISSED) this.peerLost(link, lostError());
      return;
    }
    const call = this.#calls.get(id);
    // Nobody waits for it any more.
    if (call === undefined || call.link !== link) return;
    this.#calls.delete(id);
    call.count(body.remaining + headBytes);
    const status = body.u8();
    if (status === REPAIR_OK) call.done(undefined, body);
    else if (status === REPAIR_BUSY) call.done(busyError(), undefined);
    else {
      call.done(new CodedError('unavailable', 'none', 'the storage of the peer does not answer'), undefined);
    }
  }
}

export function awayError(peer: NodeId): CodedError {
  return new CodedError('unavailable', 'none', `${peer} is away`);
}

function lostError(): CodedError {
  return new CodedError('unavailable', 'none', 'a question or its answer may be lost');
}

/** The pair that was to be compared is none, or is none any more. */
export function strangeError(partition: number, peer: NodeId): CodedError {
  return new CodedError('invalid', 'none', `partition ${partition} is not shared with ${peer}`);
}

export function changedError(): CodedError {
  return new CodedError('unavailable', 'none', 'the owners of the partition changed');
}

export function busyError(): CodedError {
  return new CodedError('overloaded', 'none', 'too many comparisons are under way');
}
