/**
 * Replies that are errors: Redis' words for what the client did wrong, and the one table from what a node
 * reports (`CodedError`) to what a Redis client sees.
 *
 * Clients act on the first word. `TRYAGAIN` is known to cluster clients as "later, the same again", so
 * it stands for everything that was certainly not applied. `UNKNOWN` is ours: the write may or may not be
 * applied, now or later, and only reading the key tells. docs/commands.md prints this table.
 */

import type { CodedError, ErrorCode } from '../base/errors.ts';
import { ErrorReply } from '../resp/value.ts';

/** Thrown by argument parsers and caught by the dispatcher: the command ends with this reply. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly reply: ErrorReply;

  constructor(reply: ErrorReply) {
    super(reply.text);
    this.reply = reply;
  }
}

/** The reply of a whole error line, `ERR syntax error`: the first word is the code. */
export function errorReply(text: string): ErrorReply {
  const space = text.indexOf(' ');
  return space < 0 ? new ErrorReply(text, '') : new ErrorReply(text.slice(0, space), text.slice(space + 1));
}

export const ERROR_SYNTAX: ErrorReply = errorReply('ERR syntax error');
export const ERROR_NOT_INTEGER: ErrorReply = errorReply('ERR value is not an integer or out of range');
export const ERROR_NO_KEY: ErrorReply = errorReply('ERR no such key');
export const ERROR_DB_INDEX: ErrorReply = errorReply('ERR DB index is out of range');
export const ERROR_NO_AUTH: ErrorReply = errorReply('NOAUTH Authentication required.');
export const ERROR_WRONG_PASSWORD: ErrorReply = errorReply(
  'WRONGPASS invalid username-password pair or user is disabled.',
);
export const ERROR_PROTOCOL_VERSION: ErrorReply = errorReply('NOPROTO unsupported protocol version');

/** How an error code of the node is worded. `code` is the first word of the reply. */
export interface ErrorWords {
  readonly code: string;
  readonly meaning: string;
  readonly advice: string;
}

/** For `outcome` `fail` and `none`: nothing was written. */
export const ERROR_WORDS: Readonly<Record<ErrorCode, ErrorWords>> = {
  'quorum-unreachable': {
    code: 'TRYAGAIN',
    meaning: 'fewer replicas can be reached, and vouch for their data, than the quorum needs',
    advice: 'try again',
  },
  'deadline-exceeded': {
    code: 'TRYAGAIN',
    meaning: 'the quorum did not answer before the deadline',
    advice: 'try again',
  },
  overloaded: {
    code: 'TRYAGAIN',
    meaning: 'the node has as many requests as it allows',
    advice: 'try again later',
  },
  unavailable: {
    code: 'LOADING',
    meaning: 'the node is starting, stopping or without storage',
    advice: 'use another node',
  },
  'pair-too-large': { code: 'ERR', meaning: 'key and value are larger than the pair limit', advice: '' },
  'clock-offset': {
    code: 'TRYAGAIN',
    meaning: "a node's clock is too far ahead",
    advice: 'check the clocks',
  },
  'storage-failed': { code: 'MISCONF', meaning: 'storage failed', advice: 'see the log of the node' },
  'storage-full': { code: 'OOM', meaning: 'memory or disk is full; reads go on', advice: '' },
  corrupt: {
    code: 'MISCONF',
    meaning: 'stored bytes failed their checksum',
    advice: 'see the log of the node',
  },
  protocol: {
    code: 'ERR',
    meaning: 'a message between nodes was not understood',
    advice: 'see the log of the node',
  },
  straggler: {
    code: 'TRYAGAIN',
    meaning: 'the write came too late to be told from one that was deleted',
    advice: 'try again; check the clocks',
  },
  unsupported: {
    code: 'ERR',
    meaning: 'a node of the cluster does not know this operation',
    advice: 'upgrade it',
  },
  siblings: { code: 'SIBLINGS', meaning: 'the key has several values, written concurrently', advice: '' },
  'siblings-full': {
    code: 'SIBLINGS',
    meaning: 'the key has as many siblings as allowed',
    advice: '',
  },
  invalid: { code: 'ERR', meaning: 'the request cannot be carried out', advice: '' },
};

/** Messages that say themselves that nothing came of the request (of storage, of limits). */
const saysNothingWasDone = /nothing was (written|done|flushed|changed)/;

/** The reply for what the node reported. */
export function replyOfError(error: CodedError): ErrorReply {
  if (error.outcome === 'unknown') {
    return new ErrorReply(
      'UNKNOWN',
      `${error.message}; the write may or may not be applied; read the key to know`,
    );
  }
  const words = ERROR_WORDS[error.code];
  const isSaid = error.outcome !== 'fail' || saysNothingWasDone.test(error.message);
  const nothing = isSaid ? '' : '; nothing was written';
  const isAdvised = words.advice === '' || error.message.endsWith(words.advice);
  const advice = isAdvised ? '' : `; ${words.advice}`;
  return new ErrorReply(words.code, `${error.message}${nothing}${advice}`);
}
