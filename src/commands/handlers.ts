/**
 * Handlers: what each command of the table does, by its full name (`get`, `client|list`).
 */

import { CLIENT_HANDLERS } from './client.ts';
import { CLUSTER_HANDLERS } from './cluster.ts';
import type { Handler, HandlerTable, InstantHandler } from './command.ts';
import { COMMAND_HANDLERS } from './command-command.ts';
import { CONFIG_HANDLERS } from './config.ts';
import { CONNECTION_HANDLERS } from './connection.ts';
import { COPY_HANDLERS } from './copy.ts';
import { DURE_HANDLERS } from './dure.ts';
import { HELP_HANDLERS } from './help.ts';
import { INFO_HANDLERS } from './info.ts';
import { KEYS_HANDLERS } from './keys.ts';
import { OBJECT_HANDLERS } from './object.ts';
import { POLICY_HANDLERS } from './policy.ts';
import { SCAN_HANDLERS } from './scan.ts';
import { SERVER_HANDLERS } from './server.ts';
import { getNow, STRINGS_HANDLERS } from './strings.ts';
import { TOPOLOGY_HANDLERS } from './topology.ts';

const families: readonly HandlerTable[] = [
  STRINGS_HANDLERS,
  KEYS_HANDLERS,
  COPY_HANDLERS,
  SCAN_HANDLERS,
  OBJECT_HANDLERS,
  CONNECTION_HANDLERS,
  CLIENT_HANDLERS,
  SERVER_HANDLERS,
  CONFIG_HANDLERS,
  INFO_HANDLERS,
  COMMAND_HANDLERS,
  CLUSTER_HANDLERS,
  DURE_HANDLERS,
  POLICY_HANDLERS,
  TOPOLOGY_HANDLERS,
  HELP_HANDLERS,
];

export const HANDLERS: ReadonlyMap<string, Handler> = new Map(
  families.flatMap((family) => Object.entries(family)),
);

/** The commands worth a short cut. */
export const INSTANTS: ReadonlyMap<string, InstantHandler> = new Map([['get', getNow]]);
