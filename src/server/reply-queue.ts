/**
 * Replies in order. Commands of one connection are under way together and finish in any order; their
 * replies leave in the order the commands came.
 *
 * The picture to have in mind: a bakery counter. Each order gets a tray (`Ticket`). A loaf that is ready
 * for the first tray goes straight out of the door; others wait on theirs. A tray that went out is used
 * again, with the bell (`complete`) that hangs on it, so that a command in steady state costs no
 * allocation, no promise and no closure.
 */

import { assert } from '../base/assert.ts';
import type { RespValue } from '../resp/value.ts';

/** Not in use, or its command is being handed over: a completion now is synchronous. */
const HANDED = 0;
/** In the queue, its command under way. */
const WAITING = 1;
/** Answered. In the queue: behind one that is not. */
const ANSWERED = 2;

export type Protocol = 2 | 3;

/** A reply; `undefined` where the client wants none. */
export type Reply = RespValue | undefined;

/** Where replies go when it is their turn. Implemented by the connection. */
export interface ReplySink {
  /** What the client speaks now. */
  readonly protocol: Protocol;
  /** A reply is due, to be written in the protocol that was spoken when its command completed. */
  reply(value: RespValue, protocol: Protocol): void;
  /** The same for a command that did not complete at once; `arrivedAt` is what `settle` was given. */
  replyLate(value: RespValue, protocol: Protocol, arrivedAt: number): void;
  /** The queue got shorter, be it by replies that the client does not want. */
  progressed(): void;
}

export class Ticket {
  /** To be called once, with the reply. */
  readonly complete: (value: Reply) => void;
  state: number = HANDED;
  value: Reply = undefined;
  protocol: Protocol = 2;
  arrivedAt = 0;
  /** Whose it is; undefined in the pool. */
  queue: ReplyQueue | undefined = undefined;
  next: Ticket | undefined = undefined;

  constructor() {
    this.complete = (value) => {
      assert(this.queue !== undefined, 'a command completes once');
      this.queue.completed(this, value);
    };
  }
}

/** Free tickets of all connections of a server, at most `countMax`. */
export class TicketPool {
  #first: Ticket | undefined;
  #count = 0;
  readonly #countMax: number;

  constructor(countMax = 8192) {
    this.#countMax = countMax;
  }

  take(): Ticket {
    const ticket = this.#first;
    if (ticket === undefined) return new Ticket();
    this.#first = ticket.next;
    this.#count--;
    ticket.next = undefined;
    return ticket;
  }

  give(ticket: Ticket): void {
    ticket.state = HANDED;
    ticket.value = undefined;
    ticket.queue = undefined;
    ticket.next = undefined;
    if (this.#count >= this.#countMax) return;
    ticket.next = this.#first;
    this.#first = ticket;
    this.#count++;
  }
}

export class ReplyQueue {
  /** Commands under way, and those answered that wait for an earlier one. */
  length = 0;
  readonly #pool: TicketPool;
  readonly #sink: ReplySink;
  #first: Ticket | undefined;
  #last: Ticket | undefined;
  /** A ticket ready for the next command; one that completed at once comes back here. */
  #spare: Ticket | undefined;

  constructor(pool: TicketPool, sink: ReplySink) {
    this.#pool = pool;
    this.#sink = sink;
  }

  /** A ticket for the next command; `settle` must follow once the command was handed over. */
  open(): Ticket {
    let ticket = this.#spare;
    if (ticket === undefined) {
      ticket = this.#pool.take();
      ticket.queue = this;
    } else {
      this.#spare = undefined;
    }
    ticket.state = HANDED;
    return ticket;
  }

  /**
   * The command of `ticket` was handed over.
   *
   * @param arrivedAt when it came in, for `replyLate`.
   * @returns true if it completed at once and its reply, if one is wanted, went to the sink.
   */
  settle(ticket: Ticket, arrivedAt: number): boolean {
    if (ticket.state === HANDED) {
      ticket.state = WAITING;
    } else if (this.#first === undefined) {
      const value = ticket.value;
      ticket.value = undefined;
      this.#spare = ticket;
      if (value !== undefined) this.#sink.reply(value, ticket.protocol);
      return true;
    }
    ticket.arrivedAt = arrivedAt;
    if (this.#last === undefined) this.#first = ticket;
    else this.#last.next = ticket;
    this.#last = ticket;
    this.length++;
    return false;
  }

  /** Called by the ticket. */
  completed(ticket: Ticket, value: Reply): void {
    assert(ticket.state !== ANSWERED, 'a command completes once');
    const waited = ticket.state === WAITING;
    ticket.state = ANSWERED;
    ticket.value = value;
    ticket.protocol = this.#sink.protocol;
    if (waited && ticket === this.#first) this.#drain();
  }

  #drain(): void {
    let ticket = this.#first;
    while (ticket !== undefined && ticket.state === ANSWERED) {
      const next: Ticket | undefined = ticket.next;
      const { value, protocol, arrivedAt } = ticket;
      this.length--;
      this.#first = next;
      if (next === undefined) this.#last = undefined;
      this.#pool.give(ticket);
      if (value !== undefined) this.#sink.replyLate(value, protocol, arrivedAt);
      ticket = next;
    }
    this.#sink.progressed();
  }
}
