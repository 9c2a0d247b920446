/**
 * The table: every command Dure knows. What is not here is an unknown command, said as Redis says it.
 */

import type { CommandSpec } from './command.ts';
import { CLUSTER_COMMANDS } from './table-cluster.ts';
import { CONNECTION_COMMANDS } from './table-connection.ts';
import { DURE_COMMANDS } from './table-dure.ts';
import { KEYS_COMMANDS } from './table-keys.ts';
import { SERVER_COMMANDS } from './table-server.ts';
import { STRINGS_COMMANDS } from './table-strings.ts';

export const COMMANDS: readonly CommandSpec[] = [
  ...STRINGS_COMMANDS,
  ...KEYS_COMMANDS,
  ...CONNECTION_COMMANDS,
  ...SERVER_COMMANDS,
  ...CLUSTER_COMMANDS,
  ...DURE_COMMANDS,
];
