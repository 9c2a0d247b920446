/**
 * Session: what is remembered of one client connection between its commands.
 *
 * The picture: the card a clerk keeps on the counter while a customer stands there: name, language
 * (RESP2 or RESP3), whether the password was shown, what was said last. The server makes one for each
 * connection and owns the socket; commands read and write the card and ask for a close through `link`.
 */

import type { ByteString } from '../base/bytes.ts';
import type { RequestOptions, WriteProgress } from '../node/api.ts';
import { REQUEST_DEFAULTS } from '../node/api.ts';
import { Lane } from './lane.ts';

/** What the server does for a session; implemented over its socket. */
export interface SessionLink {
  /**
   * Closes the connection: after the replies due so far were written, or (`at-once`) without them.
   * May be called more than once.
   */
  close(when: 'after-replies' | 'at-once'): void;
  /** Bytes received and not yet executed, and bytes of replies not yet taken by the peer. */
  readonly inputBytesQueued: number;
  readonly outputBytesQueued: number;
  /** Bytes received and sent since the connection was made. */
  readonly inputBytes: number;
  readonly outputBytes: number;
}

/** `skip-next` is set by CLIENT REPLY SKIP: it silences the command after it. */
export type ReplyMode = 'on' | 'off' | 'skip-next';

export interface SessionOptions {
  /** Unique within the node, counting from 1, never used again. */
  readonly id: number;
  /** `host:port` of the peer, and of our end. */
  readonly address: ByteString;
  readonly localAddress: ByteString;
  /** Wall time in milliseconds when it was accepted. */
  readonly createdAt: number;
  /** True where the server asks no password. */
  readonly authenticated: boolean;
}

/** How many writes are remembered one by one for WAIT before they are summed up. */
const writesKept = 64;

export class Session {
  readonly id: number;
  readonly address: ByteString;
  readonly localAddress: ByteString;
  readonly createdAt: number;
  readonly link: SessionLink;
  authenticated: boolean;
  user: ByteString = 'default';
  protocol: 2 | 3 = 2;
  name: ByteString = '';
  libraryName: ByteString = '';
  libraryVersion: ByteString = '';
  noEvict = false;
  noTouch = false;
  /** READONLY was sent: a cluster client reads from replicas. Noted only, every node serves reads. */
  readOnly = false;
  replyMode: ReplyMode = 'on';
  /** Monotonic time in milliseconds of the last command, set by the dispatcher; 0 before the first. */
  lastCommandAt = 0;
  /** `get`, `client|list`; empty before the first command. */
  lastCommand = '';
  commandCount = 0;
  /** Set by the server when the socket is gone: replies are dropped and waiting ends. */
  closed = false;
  /** How its requests are made: the policy override of the connection, if any. */
  requestOptions: RequestOptions = REQUEST_DEFAULTS;
  /** A WAIT is pending. */
  blocked = false;
  /** Which of its commands may run side by side. */
  readonly lane: Lane = new Lane();

  #writes: WriteProgress[] = [];
  #writesSettledMin = Infinity;
  #writesAnswered = false;

  constructor(options: SessionOptions, link: SessionLink) {
    this.id = options.id;
    this.address = options.address;
    this.localAddress = options.localAddress;
    this.createdAt = options.createdAt;
    this.authenticated = options.authenticated;
    this.link = link;
  }

  /** Remembers a write for WAIT. */
  noteWrite(progress: WriteProgress): void {
    if (this.#writesAnswered) {
      this.#writesAnswered = false;
      this.#writesSettledMin = Infinity;
    }
    this.#writes.push(progress);
    if (this.#writes.length > writesKept) this.#foldWrites(writesKept / 2);
  }

  /**
   * The least number of acknowledgements (coordinator included) among the writes since the last WAIT
   * that was answered, or undefined if there was no write yet.
   */
  writeAcknowledgements(): number | undefined {
    let least = this.#writesSettledMin;
    for (const progress of this.#writes) least = Math.min(least, progress.acknowledgements);
    return least === Infinity ? undefined : least;
  }

  /** Whether every remembered write has heard from all replicas it will ever hear from. */
  writesSettled(): boolean {
    return this.#writes.every((progress) => progress.settled);
  }

  /** A WAIT was answered: the next write starts a new count. */
  writesAnswered(): void {
    this.#foldWrites(0);
    this.#writesAnswered = true;
  }

  /** Sums up the writes that are settled, and the oldest ones beyond `keep` as they stand now. */
  #foldWrites(keep: number): void {
    const kept: WriteProgress[] = [];
    const surplus = this.#writes.length - keep;
    for (const [index, progress] of this.#writes.entries()) {
      if (!progress.settled && index >= surplus) kept.push(progress);
      else this.#writesSettledMin = Math.min(this.#writesSettledMin, progress.acknowledgements);
    }
    this.#writes = kept;
  }

  /** Back to the state of a new connection, as RESET does. */
  reset(authenticated: boolean): void {
    this.authenticated = authenticated;
    this.user = 'default';
    this.protocol = 2;
    this.name = '';
    this.noEvict = false;
    this.noTouch = false;
    this.readOnly = false;
    this.replyMode = 'on';
    this.requestOptions = REQUEST_DEFAULTS;
  }
}
