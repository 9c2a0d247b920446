/**
 * Command: one entry of the table, as data, and a call of it.
 *
 * What a command is (its name, arity, keys, arguments, what it costs) is written once, in `table-*.ts`.
 * Looking it up, checking it, keeping pipelines in order, COMMAND, COMMAND DOCS and docs/commands.md are
 * all made from that. What it does is a handler, found by the same name in `handlers.ts`.
 */

import type { ByteString } from '../base/bytes.ts';
import { byteString } from '../base/bytes.ts';
import type { CodedError } from '../base/errors.ts';
import type { NodeApi, RequestOptions } from '../node/api.ts';
import type { RespValue } from '../resp/value.ts';
import { slotOf } from '../ring/slots.ts';
import type { ServerFacts } from './facts.ts';
import type { Footprint, KeyMode } from './lane.ts';
import { replyOfError } from './replies.ts';
import type { Session } from './session.ts';
import type { Statistics } from './statistics.ts';

/** Where the keys stand among the arguments (the name is argument 0), as COMMAND INFO tells it. */
export interface KeySpec {
  readonly first: number;
  /** Negative counts from the end. */
  readonly last: number;
  readonly step: number;
  /** What happens to them: flags of COMMAND INFO, such as `RW access update`. */
  readonly flags: string;
}

/** An entry of the table. */
export interface CommandSpec {
  /** Lower case; of a subcommand only its own name. */
  readonly name: string;
  /** Number of arguments, the name included; negative: at least so many. */
  readonly arity: number;
  /** Flags of COMMAND INFO, in Redis' words, apart by spaces. */
  readonly flags: string;
  readonly keys?: KeySpec;
  /** ACL categories without `@`, apart by spaces. */
  readonly categories: string;
  readonly group: string;
  readonly since: string;
  readonly summary: string;
  readonly complexity: string;
  /** The arguments in the notation of `syntax.ts`. */
  readonly syntax: string;
  /**
   * How it goes with others of one connection: see `lane.ts`. `plain-write`: a `write` with the least
   * number of arguments, an `update` with more. Left out for a container.
   */
  readonly order?: KeyMode | 'plain-write' | 'free' | 'barrier';
  /** How it differs from Redis, for docs/commands.md. */
  readonly differs?: string;
  readonly subcommands?: readonly CommandSpec[];
}

/** The table as handlers see it; `command-table.ts` has it. */
export interface CommandLookup {
  /** Top-level commands. */
  readonly commands: readonly Command[];
  /** Commands and subcommands together, by their `index`. */
  readonly all: readonly Command[];
  /** The command of that name in any case, or undefined. */
  find(name: Uint8Array): Command | undefined;
  /** The command of `get` or `client|list` in any case, or undefined. */
  findFull(fullName: string): Command | undefined;
}

/** What every call can reach. */
export interface CommandContext {
  readonly node: NodeApi;
  readonly facts: ServerFacts;
  readonly table: CommandLookup;
  readonly statistics: Statistics;
}

/** Answers a call by `call.reply`, once, now or later. May throw a `CommandError` before it does. */
export type Handler = (call: Call) => void;

/**
 * Answers a command of one key at once, if it needs nobody else: no call, no lane. Undefined leaves it to
 * the command's handler.
 */
export type InstantHandler = (
  context: CommandContext,
  options: RequestOptions,
  key: ByteString,
) => RespValue | undefined;

/** A command of the table made ready to run. */
export interface Command {
  readonly spec: CommandSpec;
  /** `get`, `client|list`. */
  readonly fullName: string;
  /** Number of the command in `Statistics`. */
  readonly index: number;
  /** Missing for a container that does nothing by itself. */
  readonly handler: Handler | undefined;
  /** Tried first where nothing of the connection is under way. */
  readonly instant: InstantHandler | undefined;
  readonly subcommands: ReadonlyMap<string, Command> | undefined;
  readonly flags: ReadonlySet<string>;
  readonly mode: KeyMode;
  /** With more arguments than this it is an `update`, whatever `mode` says. */
  readonly plainArguments: number;
  readonly barrier: boolean;
  /** Runs before the password was shown. */
  readonly beforeAuth: boolean;
  /** It asks for data, so that a policy may be said for it. */
  readonly takesPolicy: boolean;
}

/** What the reply is given to; `undefined`: nothing is to be sent (CLIENT REPLY OFF). */
export type Complete = (reply: RespValue | undefined) => void;

/** One run of one command. */
export class Call implements Footprint {
  readonly context: CommandContext;
  readonly session: Session;
  readonly command: Command;
  readonly args: readonly Uint8Array[];
  readonly keys: readonly ByteString[];
  readonly mode: KeyMode;
  /** How its requests are made, where it was said for this command alone. */
  readonly #override: RequestOptions | undefined;
  readonly #finish: (call: Call, reply: RespValue | undefined) => void;
  readonly #start: (call: Call) => void;
  readonly complete: Complete;
  /** Monotonic time in milliseconds when it began to run; 0 for one that is not timed. */
  startedAt = 0;
  /** The client asked for no reply to it. */
  muted = false;
  /** The reply was given. */
  replied = false;

  constructor(
    context: CommandContext,
    session: Session,
    command: Command,
    args: readonly Uint8Array[],
    keys: readonly ByteString[],
    override: RequestOptions | undefined,
    complete: Complete,
    start: (call: Call) => void,
    finish: (call: Call, reply: RespValue | undefined) => void,
  ) {
    this.context = context;
    this.session = session;
    this.command = command;
    this.args = args;
    this.keys = keys;
    this.mode = args.length > command.plainArguments ? 'update' : command.mode;
    this.#override = override;
    this.complete = complete;
    this.#start = start;
    this.#finish = finish;
  }

  get barrier(): boolean {
    return this.command.barrier;
  }

  /**
   * A node stamps a blind write to a key it holds itself within the call, so two of them keep their
   * order. A strict policy asks the others first, and another node may be reached by two ways.
   */
  get overlaps(): boolean {
    if (this.mode !== 'write') return false;
    const { node } = this.context;
    const { policy } = this.requestOptions;
    for (const key of this.keys) {
      if ((policy ?? node.policyOf(key)).strict || !node.table.isReplica(slotOf(key), node.id)) return false;
    }
    return true;
  }

  /** How its requests are made: as was said for this command (`DURE.WITH`), else for its connection. */
  get requestOptions(): RequestOptions {
    return this.#override ?? this.session.requestOptions;
  }

  get node(): NodeApi {
    return this.context.node;
  }

  /** The first key. Only for a command that has one. */
  get key(): ByteString {
    return this.keys[0]!;
  }

  /** An argument as a byte string; the name is argument 0. */
  text(index: number): ByteString {
    return byteString(this.args[index]!);
  }

  start(): void {
    this.#start(this);
  }

  /** Gives the reply: exactly once. */
  reply(value: RespValue): void {
    this.#finish(this, value);
  }

  /** Completes without a reply (CLIENT REPLY OFF and SKIP). */
  silent(): void {
    this.#finish(this, undefined);
  }

  /** Gives what the node reported as an error reply. */
  fail(error: CodedError): void {
    this.#finish(this, replyOfError(error));
  }
}

/** The subcommand named by an argument, in any case, or undefined. */
export function findSubcommand(command: Command, name: Uint8Array): Command | undefined {
  return command.subcommands?.get(byteString(name).toLowerCase());
}

/** A family's handlers, by full name. */
export type HandlerTable = Readonly<Record<string, Handler>>;
