/**
 * Dispatcher: from the arguments a client sent to the reply it gets.
 *
 * The picture: the front desk of an office. It looks the command up in the table, turns away what is
 * malformed or not allowed in Redis' own words, sees to it that what one client asks is done in the order
 * it was asked where that can be seen (`lane.ts`), and hands the rest to a handler.
 *
 * The server may hand in the commands of a pipeline one after the other without waiting for replies, and
 * sends the replies in the order of the commands, whatever order they are completed in. A reply must be
 * encoded when it is complete and all before it are, not later: HELLO changes the protocol of what
 * follows it.
 */

import { assert } from '../base/assert.ts';
import type { ByteString } from '../base/bytes.ts';
import { byteString, utf8Bytes, utf8Text } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { NodeApi, RequestOptions } from '../node/api.ts';
import { ErrorReply, type RespValue } from '../resp/value.ts';
import { Call, type Command, type CommandContext, type Complete, findSubcommand } from './command.ts';
import { CommandTable } from './command-table.ts';
import type { ServerFacts } from './facts.ts';
import { HANDLERS, INSTANTS } from './handlers.ts';
import { keysOf } from './keys-of.ts';
import type { Footprint } from './lane.ts';
import { PolicyPrefix, prefixArgumentsMin } from './policy-prefix.ts';
import { redirectionOf } from './redirect.ts';
import { CommandError, ERROR_NO_AUTH, errorReply, replyOfError } from './replies.ts';
import type { Session } from './session.ts';
import { Statistics } from './statistics.ts';
import { COMMANDS } from './table.ts';

/** The longest key, bytes: what fits in the messages between nodes. */
export const KEY_BYTES_MAX = 65_000;

const noKeys: readonly ByteString[] = [];
/** What Redis shows of the name and of the arguments of a command it does not know, bytes. */
const unknownBytesShown = 128;
const errorNested = errorReply('ERR DURE.WITH stands before a command, not before another DURE.WITH');

export class Dispatcher {
  readonly context: CommandContext;
  /** DURE.WITH, which is no command of its own but stands before one. */
  readonly #with: Command;
  readonly #prefix = new PolicyPrefix();
  readonly #start: (call: Call) => void = (call) => this.#run(call);
  readonly #finish: (call: Call, reply: RespValue | undefined) => void = (call, reply) =>
    this.#complete(call, reply);

  constructor(node: NodeApi, facts: ServerFacts) {
    const table = new CommandTable(COMMANDS, HANDLERS, INSTANTS);
    this.context = { node, facts, table, statistics: new Statistics(table.all.length) };
    this.#with = table.findFull('dure.with')!;
  }

  get statistics(): Statistics {
    return this.context.statistics;
  }

  /**
   * Executes a command.
   *
   * @param args the name and its arguments, at least one. They must stay as they are until the command is
   *   complete, for it may have to wait; after that nothing of them is kept.
   * @param complete called exactly once, perhaps before `execute` returns; with `undefined` where the
   *   client asked for silence.
   */
  execute(session: Session, args: readonly Uint8Array[], complete: Complete): void {
    const { context } = this;
    context.statistics.commandsProcessed++;
    session.commandCount++;
    const command = context.table.find(args[0]!);
    if (command === this.#with) this.#executeWith(session, args, complete);
    else this.#enter(session, command, args, undefined, complete);
  }

  /** Reads the policy that stands before a command, and executes that with it. */
  #executeWith(session: Session, args: readonly Uint8Array[], complete: Complete): void {
    const { table, node } = this.context;
    const prefix = this.#with;
    if (args.length < prefixArgumentsMin) {
      this.#refuse(session, prefix, wrongArity(prefix), complete);
      return;
    }
    const read = this.#prefix.read(args, node.replicas);
    if (read instanceof ErrorReply) {
      this.#refuse(session, prefix, read, complete);
      return;
    }
    const own = args.slice(read.commandAt);
    const command = table.find(own[0]!);
    if (command === prefix) {
      this.#refuse(session, prefix, errorNested, complete);
      return;
    }
    this.statistics.calls[prefix.index]!++;
    this.#enter(session, command, own, read.options, complete);
  }

  /** @param options how its requests are made, where a prefix said it for this command alone */
  #enter(
    session: Session,
    named: Command | undefined,
    args: readonly Uint8Array[],
    options: RequestOptions | undefined,
    complete: Complete,
  ): void {
    const { context } = this;
    let command = named;
    if (command === undefined) {
      this.#refuse(session, undefined, unknownCommand(args), complete);
      return;
    }
    if (command.subcommands !== undefined && args.length > 1) {
      const subcommand = findSubcommand(command, args[1]!);
      if (subcommand === undefined) {
        this.#refuse(session, command, unknownSubcommand(command, args[1]!), complete);
        return;
      }
      command = subcommand;
    }
    const { arity } = command.spec;
    if (arity < 0 ? args.length < -arity : args.length !== arity) {
      this.#refuse(session, command, wrongArity(command), complete);
      return;
    }
    if (options !== undefined && !command.takesPolicy) {
      this.#refuse(session, command, noPolicy(command), complete);
      return;
    }
    if (command.instant !== undefined && this.#answerNow(session, command, args, options, complete)) return;
    const keys = command.spec.keys === undefined ? noKeys : keysOf(command, args);
    for (const key of keys) {
      if (key.length <= KEY_BYTES_MAX) continue;
      const error = errorReply(`ERR key is too long: ${key.length} bytes, the limit is ${KEY_BYTES_MAX}`);
      this.#refuse(session, command, error, complete);
      return;
    }
    const call = new Call(
      context,
      session,
      command,
      args,
      keys,
      options,
      complete,
      this.#start,
      this.#finish,
    );
    session.lane.enter(call);
  }

  /** True if the command was answered by its short cut. */
  #answerNow(
    session: Session,
    command: Command,
    args: readonly Uint8Array[],
    options: RequestOptions | undefined,
    complete: Complete,
  ): boolean {
    if (session.lane.pending > 0 || !session.authenticated || session.replyMode !== 'on') return false;
    const { context, statistics } = this;
    const key = args[command.spec.keys!.first]!;
    if (key.length > KEY_BYTES_MAX) return false;
    const startedAt = statistics.isTimedNext(command.index) ? context.node.monotonic() : 0;
    const reply = command.instant!(context, options ?? session.requestOptions, byteString(key));
    if (reply === undefined) return false;
    if (statistics.countCall(command.index)) {
      statistics.noteTime(command.index, context.node.monotonic() - startedAt);
    }
    session.lastCommand = command.fullName;
    complete(reply);
    return true;
  }

  #run(call: Call): void {
    const { session, command } = call;
    call.muted = takeMuted(session);
    if (!session.authenticated && !command.beforeAuth) {
      this.#reject(command, ERROR_NO_AUTH);
      call.replied = true;
      call.complete(call.muted ? undefined : ERROR_NO_AUTH);
      session.lane.leave(call);
      return;
    }
    if (this.statistics.countCall(command.index)) {
      call.startedAt = call.node.monotonic();
      session.lastCommandAt = call.startedAt;
    }
    session.lastCommand = command.fullName;
    try {
      command.handler!(call);
    } catch (error) {
      if (call.replied) throw error;
      if (error instanceof CommandError) call.reply(error.reply);
      else if (error instanceof CodedError) call.reply(replyOfError(error));
      else throw error;
    }
  }

  #complete(call: Call, given: RespValue | undefined): void {
    assert(!call.replied, 'a command is answered once');
    call.replied = true;
    const isRefused = given instanceof ErrorReply && given.code === 'LOADING';
    const reply = isRefused ? (redirectionOf(call) ?? given) : given;
    const { statistics } = this;
    const { index } = call.command;
    if (call.startedAt > 0) statistics.noteTime(index, call.node.monotonic() - call.startedAt);
    if (reply instanceof ErrorReply) {
      statistics.failed[index]!++;
      statistics.noteError(reply.code);
    }
    call.complete(call.muted ? undefined : reply);
    call.session.lane.leave(call);
  }

  /** Answers without running anything, yet in its turn: CLIENT REPLY may be waiting before it. */
  #refuse(session: Session, command: Command | undefined, reply: ErrorReply, complete: Complete): void {
    const { lane } = session;
    const refusal: Footprint = {
      keys: noKeys,
      mode: 'read',
      barrier: false,
      overlaps: false,
      start: () => {
        // What policies there may be is nothing for strangers.
        const isPrivate = command === this.#with && !session.authenticated;
        const said = isPrivate ? ERROR_NO_AUTH : reply;
        this.#reject(command, said);
        complete(takeMuted(session) ? undefined : said);
        lane.leave(refusal);
      },
    };
    lane.enter(refusal);
  }

  #reject(command: Command | undefined, reply: ErrorReply): void {
    if (command !== undefined) this.statistics.rejected[command.index]!++;
    this.statistics.noteError(reply.code);
  }
}

/** Whether the command that begins to run now is to be silent, by an earlier CLIENT REPLY. */
function takeMuted(session: Session): boolean {
  if (session.replyMode === 'on') return false;
  if (session.replyMode === 'skip-next') session.replyMode = 'on';
  return true;
}

function unknownCommand(args: readonly Uint8Array[]): ErrorReply {
  let shown = '';
  let left = unknownBytesShown;
  for (let i = 1; i < args.length && left > 0; i++) {
    const text = shownText(args[i]!, left);
    shown += `'${text}' `;
    left -= utf8Bytes(text).length + 3;
  }
  const name = shownText(args[0]!, unknownBytesShown);
  return errorReply(`ERR unknown command '${name}', with args beginning with: ${shown}`);
}

/** What a client sent, as Redis shows it in an error: up to the first zero byte, and not too long. */
function shownText(bytes: Uint8Array, bytesMax: number): string {
  const zero = bytes.indexOf(0);
  return utf8Text(bytes.subarray(0, Math.min(bytesMax, zero < 0 ? bytes.length : zero)));
}

function unknownSubcommand(command: Command, name: Uint8Array): ErrorReply {
  const shown = shownText(name, unknownBytesShown);
  return errorReply(`ERR unknown subcommand '${shown}'. Try ${command.spec.name.toUpperCase()} HELP.`);
}

function noPolicy({ fullName }: Command): ErrorReply {
  return errorReply(`ERR '${fullName}' asks for no data, so no policy can be said for it by DURE.WITH`);
}

function wrongArity(command: Command): ErrorReply {
  return errorReply(`ERR wrong number of arguments for '${command.fullName}' command`);
}
