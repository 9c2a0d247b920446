/**
 * A request forwarded to a replica of its key, because this node is none, or because updates of a key
 * are done at one place. The replica coordinates; this node only carries the answer back. Any node so
 * accepts any command, and a client with an old map of the cluster is still served.
 */

import type { ByteReader, ByteString, ByteWriter } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Policy } from '../coordinator/policy.ts';
import type { NodeId } from '../ports/transport.ts';
import { ROW_HEADER_BYTES } from '../rows/row.ts';
import { readError, writeForwardHead } from '../wire/messages.ts';
import type { UpdateReply } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError, quorumError } from './context.ts';
import { Flight } from './flights.ts';
import { readReply, STATUS_ERROR, STATUS_REPLY, STATUS_ROW } from './forward-codec.ts';
import { isSiblingsPolicy } from './shown.ts';

/** What came back: a row (read), nothing (missing key, or a write done), or an update's reply. */
export type ForwardDone = (
  error: CodedError | undefined,
  row: Uint8Array | undefined,
  reply: UpdateReply,
) => void;

export interface ForwardRequest {
  /** `FORWARD_READ`, `FORWARD_WRITE` or `FORWARD_UPDATE`. */
  readonly kind: number;
  readonly key: ByteString;
  readonly policy: Policy;
  /** Whom to try, best first. */
  readonly targets: readonly NodeId[];
  /** Whether asking twice does no harm: true for reads only. */
  readonly repeatable: boolean;
  readonly body: (writer: ByteWriter) => void;
}

export class ForwardFlight extends Flight {
  readonly #context: NodeContext;
  readonly #request: ForwardRequest;
  readonly #done: ForwardDone;
  #target: NodeId | undefined = undefined;
  #next = 0;
  #finished = false;

  constructor(context: NodeContext, request: ForwardRequest, deadline: number, done: ForwardDone) {
    super(deadline);
    this.#context = context;
    this.#request = request;
    this.#done = done;
  }

  start(): void {
    this.#context.tally.forwards++;
    this.#context.flights.add(this);
    if (!this.#send()) this.#failUnsent();
  }

  /** Sends to the next target that can be reached. False when there is none. */
  #send(): boolean {
    const context = this.#context;
    const { targets, kind, key, policy, body } = this.#request;
    while (this.#next < targets.length) {
      const target = targets[this.#next++]!;
      const writer = context.links.isLive(target) ? context.links.writerTo(target) : undefined;
      if (writer === undefined) continue;
      this.#target = target;
      const timeoutMs = this.deadline - context.now();
      const { r, w, strict, ttlMs = 0 } = policy;
      const siblings = isSiblingsPolicy(policy);
      const siblingsError = policy.siblingsRead === 'error';
      const head = { id: this.id, timeoutMs, r, w, strict, siblings, siblingsError, ttlMs, kind, key };
      const at = writeForwardHead(writer, head);
      body(writer);
      writer.blobEnd(at);
      return true;
    }
    return false;
  }

  #failUnsent(): void {
    const what = this.#request.repeatable ? 'read' : 'write';
    const needed = this.#request.repeatable ? this.#request.policy.r : this.#request.policy.w;
    this.#finish(quorumError(this.#context, what, 0, needed, this.#request.repeatable ? 'none' : 'fail'));
  }

  override forwardReply(peer: NodeId, status: number, body: ByteReader): void {
    if (peer !== this.#target) return;
    if (status === STATUS_ERROR) this.#refused(readError(body));
    else if (status === STATUS_ROW) this.#finish(undefined, wholeRow(body));
    else if (status === STATUS_REPLY) this.#finish(undefined, undefined, readReply(body));
    else this.#finish(undefined); // a missing key, or a write that is done
  }

  /** A node that cannot serve (it starts, stops, lost its storage, or is no replica) did nothing: ask the next. */
  #refused(error: CodedError): void {
    if (error.code === 'unavailable' && error.outcome !== 'unknown' && this.#send()) return;
    this.#finish(error);
  }

  /** Another epoch is in force: who coordinates may be no member any more, and never answer. */
  override topologyChanged(): void {
    const target = this.#target;
    if (target !== undefined && !this.#context.topology.has(target)) this.peerLost(target);
  }

  override peerLost(peer: NodeId): void {
    if (peer !== this.#target || this.#finished) return;
    if (this.#request.repeatable) {
      if (!this.#send()) this.#failUnsent();
      return;
    }
    const message = `the node that coordinated this write (${peer}) was lost`;
    this.#finish(new CodedError('quorum-unreachable', 'unknown', message));
  }

  override expire(): void {
    const { repeatable } = this.#request;
    this.#finish(
      deadlineError(this.#context, repeatable ? 'read' : 'write', repeatable ? 'none' : 'unknown'),
    );
  }

  #finish(error: CodedError | undefined, row?: Uint8Array, reply: UpdateReply = null): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#context.flights.remove(this);
    this.#done(error, row, reply);
  }
}

/** @throws CodedError `protocol` for bytes too short to be a row. */
function wholeRow(body: ByteReader): Uint8Array {
  const row = body.blob();
  if (row.length >= ROW_HEADER_BYTES) return row;
  throw new CodedError('protocol', 'none', 'a forwarded read was answered without a whole row');
}
