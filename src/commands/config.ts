/**
 * CONFIG: reading and changing parameters of this node while it runs. What is set is lost at the next
 * start: the configuration file is the place for what shall stay.
 */

import { byteString, utf8Text } from '../base/bytes.ts';
import { type ErrorReply, MapReply, OK, type RespValue } from '../resp/value.ts';
import { refuse, syntaxError } from './arguments.ts';
import type { Call, HandlerTable } from './command.ts';
import type { Setting } from './facts.ts';
import { matchesAll, matchesGlob, PATTERN_CHARS_MAX } from './glob.ts';
import { errorReply } from './replies.ts';

function get(call: Call): void {
  const { settings } = call.context.facts;
  const patterns = call.args.slice(2).map((arg) => byteString(arg).toLowerCase());
  const pairs: [RespValue, RespValue][] = [];
  for (const setting of settings) {
    const isAsked = patterns.some(
      (pattern) =>
        matchesAll(pattern) || (pattern.length <= PATTERN_CHARS_MAX && matchesGlob(pattern, setting.name)),
    );
    if (isAsked) pairs.push([setting.name, setting.get()]);
  }
  call.reply(new MapReply(pairs));
}

function failure(name: string, problem: string): ErrorReply {
  return errorReply(`ERR CONFIG SET failed (possibly related to argument '${name}') - ${problem}`);
}

/** Checks everything before it changes anything. */
function set(call: Call): void {
  const { args } = call;
  const { settings } = call.context.facts;
  if (args.length % 2 === 1) syntaxError();
  const changes = new Map<Setting, string>();
  for (let at = 2; at < args.length; at += 2) {
    const given = utf8Text(args[at]!);
    const name = given.toLowerCase();
    const setting = settings.find((candidate) => candidate.name === name);
    if (setting === undefined) {
      refuse(errorReply(`ERR Unknown option or number of arguments for CONFIG SET - '${given}'`));
    }
    if (setting.set === undefined) {
      const instead = setting.instead === undefined ? '' : `: ${setting.instead}`;
      refuse(failure(given, `can't set immutable config${instead}`));
    }
    if (changes.has(setting)) refuse(failure(given, 'duplicate parameter'));
    changes.set(setting, utf8Text(args[at + 1]!));
  }
  for (const [setting, value] of changes) {
    const problem = setting.problem?.(value);
    if (problem !== undefined) refuse(failure(setting.name, problem));
  }
  for (const [setting, value] of changes) setting.set!(value);
  call.reply(OK);
}

function resetstat(call: Call): void {
  call.context.statistics.reset();
  call.context.facts.resetFigures();
  call.reply(OK);
}

export const CONFIG_HANDLERS: HandlerTable = {
  'config|get': get,
  'config|set': set,
  'config|resetstat': resetstat,
};
