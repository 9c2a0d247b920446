/**
 * A flush in flight: the new floor on its way to every member.
 *
 * The floor is one stamp; every row not above it is dead, wherever it turns up and however late. The
 * flush is done when so many members hold it durably that each read quorum of every key meets one:
 * all but N-W. The others learn it from heartbeats and from reads.
 */

import type { CodedError, ErrorCode } from '../base/errors.ts';
import { CodedError as Coded } from '../base/errors.ts';
import type { WriteState } from '../coordinator/write-core.ts';
import { WriteCore } from '../coordinator/write-core.ts';
import type { NodeId } from '../ports/transport.ts';
import type { StoredWaiter } from '../replica/replica.ts';
import type { StampParts } from '../rows/row.ts';
import { encodeStamp } from '../rows/row.ts';
import { writeFloor } from '../wire/messages.ts';
import type { FlushDone } from './api.ts';
import type { NodeContext } from './context.ts';
import { deadlineError } from './context.ts';
import { Flight } from './flights.ts';

export class FlushFlight extends Flight implements StoredWaiter {
  readonly #context: NodeContext;
  readonly #core: WriteCore;
  #done: FlushDone | undefined;
  #waiting: NodeId[] = [];

  /**
   * @param members how many members there are
   * @param w acknowledgements a write of the default policy waits for
   */
  constructor(context: NodeContext, members: number, w: number, deadline: number, done: FlushDone) {
    super(deadline);
    this.#context = context;
    this.#core = new WriteCore(Math.max(1, members - (context.n - w)), members);
    this.#done = done;
  }

  start(): void {
    const context = this.#context;
    const live = [...context.links.all()].filter((link) => link.live);
    if (1 + live.length < this.#core.needed) {
      const have = 1 + live.length;
      const message = `only ${have} of ${this.#core.asked} nodes can be reached and a flush needs ${this.#core.needed}; nothing was flushed`;
      this.#answer(new Coded('quorum-unreachable', 'fail', message));
      return;
    }
    let parts: StampParts;
    try {
      parts = context.identity.next(context.wall(), context.replica);
    } catch (error) {
      if (!(error instanceof Coded)) throw error;
      this.#answer(error);
      return;
    }
    const stamp = encodeStamp(parts);
    context.flights.add(this);
    for (const link of context.links.all()) {
      const writer = link.live ? context.links.writer(link) : undefined;
      if (writer === undefined) {
        this.#core.lose();
        continue;
      }
      this.#waiting.push(link.member.id);
      writeFloor(writer, this.id, stamp);
    }
    context.replica.raiseFloor(stamp, this);
  }

  stored(error: CodedError | undefined): void {
    this.#advance(error === undefined ? this.#core.acknowledge() : this.#core.lose());
  }

  override storedBy(peer: NodeId): void {
    if (this.#heard(peer)) this.#advance(this.#core.acknowledge());
  }

  override refusedBy(peer: NodeId, _code: ErrorCode): void {
    if (this.#heard(peer)) this.#advance(this.#core.lose());
  }

  override peerLost(peer: NodeId): void {
    if (this.#heard(peer)) this.#advance(this.#core.lose());
  }

  #heard(peer: NodeId): boolean {
    const at = this.#waiting.indexOf(peer);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    return true;
  }

  #advance(state: WriteState): void {
    if (state === 'reached') this.#answer(undefined);
    else if (state === 'impossible') {
      const message = 'too many nodes were lost while the flush was under way; it may take effect or not';
      this.#answer(new Coded('quorum-unreachable', 'unknown', message));
    }
    if (this.#core.settled) this.#context.flights.remove(this);
  }

  override expire(): void {
    this.#answer(deadlineError(this.#context, 'flush', 'unknown'));
    this.#context.flights.remove(this);
  }

  #answer(error: CodedError | undefined): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(error);
  }
}
