/**
 * COMMAND: the table, told to clients. Cluster clients find the keys of a command by it, redis-cli makes
 * its hints from COMMAND DOCS.
 */

import { byteString, bytesOf } from '../base/bytes.ts';
import { MapReply, NULL_ARRAY, type RespValue, SetReply, SimpleString } from '../resp/value.ts';
import { isWord, refuse, syntaxError } from './arguments.ts';
import {
  type Call,
  type Command,
  type CommandSpec,
  findSubcommand,
  type HandlerTable,
  type KeySpec,
} from './command.ts';
import { matchesGlob, PATTERN_CHARS_MAX } from './glob.ts';
import { keysOf } from './keys-of.ts';
import { commandAtOf } from './policy-prefix.ts';
import { errorReply } from './replies.ts';
import { type Argument, parseSyntax } from './syntax.ts';

const errorNoCommand = errorReply('ERR Invalid command specified');
const errorNoKeys = errorReply('ERR The command has no key arguments');
const errorArguments = errorReply('ERR Invalid number of arguments specified for command');

function words(text: string): string[] {
  return text.split(' ').filter((word) => word !== '');
}

function statuses(names: readonly string[]): SimpleString[] {
  return names.map((name) => new SimpleString(name));
}

/** The ten fields of COMMAND INFO. */
function infoOf(command: Command): RespValue {
  const { spec } = command;
  const { keys } = spec;
  return [
    command.fullName,
    spec.arity,
    new SetReply(statuses(words(spec.flags))),
    keys?.first ?? 0,
    keys?.last ?? 0,
    keys?.step ?? 0,
    new SetReply(statuses(words(spec.categories).map((category) => `@${category}`))),
    new SetReply([]),
    new SetReply(keySpecOf(spec, command.flags)),
    new SetReply([...(command.subcommands?.values() ?? [])].map(infoOf)),
  ];
}

/** DURE.WITH: the keys are those of the command that stands in it, and only COMMAND GETKEYS tells. */
function unknownKeySpec(): RespValue {
  const unknown = new MapReply([
    ['type', 'unknown'],
    ['spec', new MapReply([])],
  ]);
  return new MapReply([
    ['notes', 'the keys of the command after DO: COMMAND GETKEYS tells them'],
    ['flags', new SetReply(statuses(['RW', 'access', 'update', 'variable_flags', 'incomplete']))],
    ['begin_search', unknown],
    ['find_keys', unknown],
  ]);
}

function keySpecOf({ keys }: CommandSpec, flags: ReadonlySet<string>): RespValue[] {
  if (keys !== undefined) return keySpecsOf(keys);
  return flags.has('movablekeys') ? [unknownKeySpec()] : [];
}

/** One key spec, or one for each key where they are used in different ways (RENAME). */
function keySpecsOf(keys: KeySpec): RespValue[] {
  const uses = keys.flags.split('; ');
  return uses.map((flags, index) => {
    const last = keys.last < 0 ? keys.last : uses.length > 1 ? 0 : keys.last - keys.first;
    return new MapReply([
      ['flags', new SetReply(statuses(words(flags)))],
      [
        'begin_search',
        new MapReply([
          ['type', 'index'],
          ['spec', new MapReply([['index', keys.first + index]])],
        ]),
      ],
      [
        'find_keys',
        new MapReply([
          ['type', 'range'],
          [
            'spec',
            new MapReply([
              ['lastkey', last],
              ['keystep', keys.step],
              ['limit', 0],
            ]),
          ],
        ]),
      ],
    ]);
  });
}

function docsOf(command: Command): MapReply {
  const { spec } = command;
  const pairs: [RespValue, RespValue][] = [
    ['summary', spec.summary],
    ['since', spec.since],
    ['group', spec.group],
    ['complexity', spec.complexity],
  ];
  const args = parseSyntax(spec.syntax);
  if (args.length > 0) pairs.push(['arguments', args.map(argumentDocs)]);
  const subcommands = [...(command.subcommands?.values() ?? [])];
  if (subcommands.length > 0) {
    const docs = subcommands.map((sub): [RespValue, RespValue] => [sub.fullName, docsOf(sub)]);
    pairs.push(['subcommands', new MapReply(docs)]);
  }
  return new MapReply(pairs);
}

function argumentDocs(argument: Argument): MapReply {
  const pairs: [RespValue, RespValue][] = [
    ['name', argument.name],
    ['type', argument.type],
  ];
  if (argument.type === 'key') pairs.push(['key_spec_index', 0]);
  if (argument.token !== undefined) pairs.push(['token', argument.token]);
  const flags: string[] = [];
  if (argument.optional) flags.push('optional');
  if (argument.multiple) flags.push('multiple');
  if (flags.length > 0) pairs.push(['flags', new SetReply(statuses(flags))]);
  if (argument.arguments.length > 0) pairs.push(['arguments', argument.arguments.map(argumentDocs)]);
  return new MapReply(pairs);
}

/** The commands named by the arguments; all without them. Undefined for a name that is unknown. */
function named(call: Call): readonly (Command | undefined)[] {
  const names = call.args.slice(2);
  const { table } = call.context;
  return names.length === 0 ? table.commands : names.map((name) => table.findFull(byteString(name)));
}

function docs(call: Call): void {
  const known = named(call).filter((command) => command !== undefined);
  call.reply(
    new MapReply(known.map((command): [RespValue, RespValue] => [command.fullName, docsOf(command)])),
  );
}

function list(call: Call): void {
  const { args } = call;
  let commands = call.context.table.all;
  if (args.length === 5 && isWord(args[2]!, 'FILTERBY')) {
    const text = byteString(args[4]!).toLowerCase();
    if (isWord(args[3]!, 'MODULE')) commands = [];
    else if (isWord(args[3]!, 'ACLCAT')) {
      commands = commands.filter(({ spec }) => words(spec.categories).includes(text));
    } else if (isWord(args[3]!, 'PATTERN')) {
      const pattern = text.slice(0, PATTERN_CHARS_MAX);
      commands = commands.filter(({ fullName }) => matchesGlob(pattern, fullName));
    } else syntaxError();
  } else if (args.length === 2) {
    commands = call.context.table.commands;
  } else syntaxError();
  call.reply(commands.map((command) => command.fullName));
}

function getkeys(call: Call): void {
  let args = call.args.slice(2);
  let command = call.context.table.find(args[0]!);
  if (command?.flags.has('movablekeys') === true) {
    const at = commandAtOf(args);
    if (at === undefined) refuse(errorArguments);
    args = args.slice(at);
    command = call.context.table.find(args[0]!);
    // A prefix before a prefix is no command.
    if (command?.flags.has('movablekeys') === true) refuse(errorNoCommand);
  }
  if (command?.subcommands !== undefined && args.length > 1) command = findSubcommand(command, args[1]!);
  if (command === undefined) refuse(errorNoCommand);
  if (command.spec.keys === undefined) refuse(errorNoKeys);
  const { arity } = command.spec;
  if (arity < 0 ? args.length < -arity : args.length !== arity) refuse(errorArguments);
  call.reply(keysOf(command, args).map(bytesOf));
}

export const COMMAND_HANDLERS: HandlerTable = {
  command: (call) => call.reply(call.context.table.commands.map(infoOf)),
  'command|count': (call) => call.reply(call.context.table.commands.length),
  'command|info': (call) =>
    call.reply(named(call).map((command) => (command === undefined ? NULL_ARRAY : infoOf(command)))),
  'command|docs': docs,
  'command|list': list,
  'command|getkeys': getkeys,
};
