/**
 * `DURE.WITH policy-words… DO COMMAND args…`: a policy for one command.
 *
 * The picture: a note clipped to one order form. The clerk reads the note, unclips it, and handles the form as
 * any other; the form itself need not know that there are notes. Clients clip on the same few notes again and
 * again, so what a note comes to is remembered: a request then gets the very policy object of the one before it,
 * which `Policies.of` (`src/node/policies.ts`) knows already.
 */

import type { ByteString } from '../base/bytes.ts';
import { byteString } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { POLICY_TEXT_MAX, policyFromText } from '../coordinator/policy-text.ts';
import type { RequestOptions } from '../node/api.ts';
import { ErrorReply } from '../resp/value.ts';
import { isWord } from './arguments.ts';
import { errorReply, replyOfError } from './replies.ts';

/** The least there can be: `DURE.WITH word DO COMMAND`. */
export const prefixArgumentsMin = 4;

/** A policy has at most seven words; no key or value further on is taken for DO. */
const wordsMax = 8;
/** Texts that are remembered; when there are more, all are forgotten. */
const textsMax = 64;

const errorNoDo = errorReply(
  'ERR DURE.WITH: expected DO and a command after the words of a policy, as in DURE.WITH PC/EC DO GET key',
);

/** What stands before a command. */
export interface ReadPrefix {
  /** The argument that is the command's name. */
  readonly commandAt: number;
  readonly options: RequestOptions;
}

/** Where the command stands in `DURE.WITH … DO …`; undefined if there is no DO, or nothing after it. */
export function commandAtOf(args: readonly Uint8Array[]): number | undefined {
  const end = Math.min(args.length - 1, wordsMax + 2);
  for (let at = 1; at < end; at++) if (isWord(args[at]!, 'DO')) return at + 1;
  return undefined;
}

/** Reads prefixes, and remembers them. */
export class PolicyPrefix {
  readonly #options: Map<ByteString, RequestOptions> = new Map();
  #n = 0;

  /** @returns an error reply for words that are no policy, or one that is impossible with N replicas. */
  read(args: readonly Uint8Array[], n: number): ReadPrefix | ErrorReply {
    const commandAt = commandAtOf(args);
    if (commandAt === undefined) return errorNoDo;
    let text = '';
    for (let at = 1; at < commandAt - 1; at++) {
      const word = args[at]!;
      // Longer than any policy: of a word of megabytes no more is looked at.
      text += byteString(word.length > POLICY_TEXT_MAX ? word.subarray(0, POLICY_TEXT_MAX + 1) : word);
      text += ' ';
    }
    if (n !== this.#n) {
      this.#options.clear();
      this.#n = n;
    }
    const known = this.#options.get(text);
    if (known !== undefined) return { commandAt, options: known };
    const options = optionsOf(text, n);
    if (options instanceof ErrorReply) return options;
    if (this.#options.size >= textsMax) this.#options.clear();
    this.#options.set(text, options);
    return { commandAt, options };
  }
}

function optionsOf(text: string, n: number): RequestOptions | ErrorReply {
  try {
    return { policy: policyFromText(text, n) };
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return replyOfError(error);
  }
}
