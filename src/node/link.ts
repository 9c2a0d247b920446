/**
 * A link: one other member as this node meets it. A card in the telephone book: the number, whether the line is
 * open, when it was heard last. `links.ts` writes on it, everybody else reads.
 *
 * A member that is dropped from the list keeps its link, dead for ever, in the hands of those who hold it; one
 * that comes back gets another.
 */

import { ByteWriter } from '../base/bytes.ts';
import { ReplyTime } from '../coordinator/hedge.ts';
import { FrameOrder } from '../wire/frame.ts';
import type { Member } from './options.ts';
import { PeerClock } from './peer-clock.ts';

/** Of a link to somebody who is no member any more. */
export const NO_NUMBER = -1;

/** One other member. */
export class Link {
  /** What the topology in force says of it. */
  member: Member;
  /** Its number in the membership list; it changes with the list, and is `NO_NUMBER` when it is no member any more. */
  number: number;
  readonly writer: ByteWriter = new ByteWriter(4096);
  /** Our pipe to it is open. */
  up = false;
  /**
   * The protocol version our pipe to it was opened in last; 0 before the first. To a peer of a version below
   * `PROTOCOL_VERSION_TOPOLOGY` nothing of what came with that may be sent (family 8 and later ones).
   */
  version = 0;
  /** Requests are sent to it. */
  live = false;
  /** It came while this node ran, and did not answer yet: its clock is no witness for or against ours. */
  isNewcomer = false;
  /** The status that was logged last. */
  status = 'alive';
  /** Monotonic time we last heard from it. */
  heardAt = 0;
  /** Our pipe was opened, or given up, at this monotonic time. */
  resetAt = 0;
  /** Something was sent to it since the last tick, and nothing heard since. */
  wanted = false;
  /** Raised when the pipe breaks: an answer owed from before is owed no more. */
  generation = 0;
  readonly clock: PeerClock = new PeerClock();
  /** The heartbeat it owes an answer to; -1 for none since it was started anew. */
  pingSequence = 0;
  /** Number of the last frame sent to it in this life. */
  frameSequence: number;
  readonly replyTime: ReplyTime = new ReplyTime();
  /** Turns away its doubled and late frames. */
  readonly frameOrder: FrameOrder = new FrameOrder();

  /** @param frameSequence above it frames to the member are numbered. */
  constructor(member: Member, number: number, frameSequence: number) {
    this.member = member;
    this.number = number;
    this.frameSequence = frameSequence;
  }
}
