/**
 * The text of docs/commands.md, made from the command table, so that it says what the code knows.
 */

import type { CommandSpec } from '../src/commands/command.ts';
import { ERROR_WORDS } from '../src/commands/replies.ts';
import { syntaxForPeople } from '../src/commands/syntax.ts';
import { COMMANDS } from '../src/commands/table.ts';
import { REDIS_VERSION } from '../src/commands/versions.ts';

const groups: readonly (readonly [group: string, title: string])[] = [
  ['string', 'Strings'],
  ['generic', 'Keys'],
  ['connection', 'Connection'],
  ['server', 'Server'],
  ['cluster', 'Cluster'],
  ['dure', 'Dure'],
];

const head = `# Commands

<!-- Made by \`npm run commands:doc\` from src/commands/table-*.ts. Do not edit. -->

Dure speaks RESP2 and RESP3 and answers as Redis ${REDIS_VERSION.split('.').slice(0, 2).join('.')} does, words of errors included; what differs is said with
each command. A command that is not here is answered as Redis answers an unknown command.

What holds for all of them:

- Any node takes any command for any key. \`MOVED\` is sent only by a node that left the cluster, and \`ASK\` by one that
  drains: they name a node that does it, and nothing was done.
- A command of many keys works whatever slots they are in. It is carried out key by key, at once, and is
  **not atomic**: others may see some of it before the rest, and it may fail in part.
- There are no transactions and no scripts yet. A client that sends MULTI, commands and EXEC in one go gets
  an error for MULTI and for EXEC, and the commands between them **are carried out**.
- *Read*: a quorum of replicas is asked. *Blind write*: the row is written without looking at what was
  there. *Read-modify-write*: a function is run at the key's coordinator, one after the other a key. While a
  network is cut, or while nodes disagree on who is live, two coordinators may run on the same key; then
  the row with the greater stamp stays, and one of two increments, or one of two \`SET NX\` that both answered
  OK, is lost. Do not build locks on it.
- The commands of one connection take effect in the order they were sent, also when they are pipelined,
  where it can be seen: on one key, and around commands that are not about keys.
- A key has at most 65,000 bytes; key and value together have a limit (10 KiB by default).
- A key whose time has come is gone at that moment, within the offset of the clocks.

## Errors

| Reply | When |
|---|---|
`;

/** The whole document. */
export function commandsDocument(): string {
  const parts = [head + errorRows()];
  for (const [group, title] of groups) {
    parts.push(`\n## ${title}\n`);
    for (const spec of COMMANDS) if (spec.group === group) parts.push(commandText(spec, ''));
  }
  return parts.join('\n');
}

function errorRows(): string {
  const rows = Object.entries(ERROR_WORDS).map(([code, words]) => {
    const advice = words.advice === '' ? '' : `; ${words.advice}`;
    return `| \`-${words.code} …\` | ${words.meaning}${advice} (\`${code}\`) |`;
  });
  return [
    '| `-UNKNOWN …` | whatever happened, it may or may not be applied, now or later: read the key to know |',
    ...rows,
    '',
    'Every error but `UNKNOWN` means that nothing was written and never will be. `TRYAGAIN` is safe to repeat.',
    '',
  ].join('\n');
}

function commandText(spec: CommandSpec, prefix: string): string {
  const name = `${prefix}${spec.name.toUpperCase()}`;
  const usage = `${name} ${syntaxForPeople(spec.syntax)}`.trimEnd();
  const lines = [
    `### ${name}`,
    '',
    `\`${usage}\``,
    '',
    `${spec.summary}. ${spec.complexity}.${orderText(spec)}`,
  ];
  if (spec.differs !== undefined)
    lines.push('', spec.group === 'dure' ? spec.differs : `Differs: ${spec.differs}`);
  lines.push('');
  const subcommands = (spec.subcommands ?? []).map((sub) => commandText(sub, `${name} `));
  return [lines.join('\n'), ...subcommands].join('\n');
}

function orderText(spec: CommandSpec): string {
  if (spec.keys === undefined) return '';
  if (spec.order === 'update') return ' *Read-modify-write.*';
  if (spec.order === 'read') return ' *Read.*';
  return ' *Blind write.*';
}
