/**
 * Dure's own commands, as data: siblings, and the consistency of a connection.
 */

import type { CommandSpec } from './command.ts';

export const DURE_COMMANDS: readonly CommandSpec[] = [
  {
    name: 'dure.get',
    arity: 2,
    flags: 'readonly fast',
    keys: { first: 1, last: 1, step: 1, flags: 'RO access' },
    categories: 'read string fast',
    group: 'dure',
    since: '0.1.0',
    summary: 'Get all values of a key, newest first, and the causal context to replace them with',
    complexity: 'O(S) for S siblings',
    syntax: 'key',
    order: 'read',
    differs:
      'Replies `context` and `values`: a map in RESP3, names and values in turn in RESP2. No value: no such key.',
  },
  {
    name: 'dure.set',
    arity: -3,
    flags: 'write denyoom',
    keys: { first: 1, last: 1, step: 1, flags: 'RW update' },
    categories: 'write string slow',
    group: 'dure',
    since: '0.1.0',
    summary: 'Set the value of a key in place of those that a causal context has seen',
    complexity: 'O(S) for S siblings',
    syntax:
      'key value [CONTEXT context] [expiration=EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds]',
    order: 'write',
    differs:
      'Without `CONTEXT` it has seen nothing, as SET. Under `last-write-wins` the context only puts the write above what was read.',
  },
  {
    name: 'dure.del',
    arity: -2,
    flags: 'write',
    keys: { first: 1, last: 1, step: 1, flags: 'RM delete' },
    categories: 'write string slow',
    group: 'dure',
    since: '0.1.0',
    summary: 'Delete the values of a key that a causal context has seen',
    complexity: 'O(S) for S siblings',
    syntax: 'key [CONTEXT context]',
    order: 'write',
    differs: 'Replies OK, and not whether there was something. DEL deletes all that it sees itself.',
  },
  {
    name: 'dure.consistency',
    arity: -1,
    flags: 'noscript loading stale fast',
    categories: 'fast connection',
    group: 'dure',
    since: '0.1.0',
    summary: 'The policy of all requests of this connection, whatever the policies of keys say',
    complexity: 'O(1)',
    syntax: '[policy ...]',
    order: 'barrier',
    differs:
      'Words of a policy (`PC/EC`, `R=1 W=3 STRICT`, `PA/EC SIBLINGS`); `DEFAULT` ends it; without arguments it tells. RESET ends it too.',
  },
];
