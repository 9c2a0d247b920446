/**
 * HELP of the commands that have subcommands (CLIENT HELP, …), made from the table.
 */

import { type RespValue, SimpleString } from '../resp/value.ts';
import type { Call, HandlerTable } from './command.ts';
import { syntaxForPeople } from './syntax.ts';

function help(call: Call): void {
  const container = call.context.table.findFull(call.command.fullName.split('|')[0]!)!;
  const name = container.spec.name.toUpperCase();
  const lines = [`${name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`];
  for (const { spec } of container.subcommands!.values()) {
    if (spec.name === 'help') continue;
    lines.push(
      `${spec.name.toUpperCase()} ${syntaxForPeople(spec.syntax)}`.trimEnd(),
      `    ${spec.summary}.`,
    );
  }
  lines.push('HELP', '    Print this help.');
  call.reply(lines.map((line): RespValue => new SimpleString(line)));
}

export const HELP_HANDLERS: HandlerTable = {
  'client|help': help,
  'cluster|help': help,
  'command|help': help,
  'config|help': help,
  'dure.policy|help': help,
  'memory|help': help,
  'object|help': help,
};
