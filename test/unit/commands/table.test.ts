import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { commandsDocument } from '../../../scripts/commands-document.ts';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import type { CommandSpec } from '../../../src/commands/command.ts';
import { CommandTable } from '../../../src/commands/command-table.ts';
import { HANDLERS, INSTANTS } from '../../../src/commands/handlers.ts';
import { parseSyntax, syntaxForPeople } from '../../../src/commands/syntax.ts';
import { COMMANDS } from '../../../src/commands/table.ts';

/** The commands that must be there. */
const required =
  `HELLO AUTH PING ECHO QUIT RESET SELECT TIME ROLE WAIT DBSIZE FLUSHDB FLUSHALL READONLY READWRITE
  ASKING CLIENT|ID CLIENT|GETNAME CLIENT|SETNAME CLIENT|SETINFO CLIENT|INFO CLIENT|LIST CLIENT|REPLY
  CLIENT|NO-EVICT CLIENT|NO-TOUCH CLIENT|KILL COMMAND COMMAND|COUNT COMMAND|DOCS COMMAND|INFO COMMAND|LIST
  COMMAND|GETKEYS CONFIG|GET CONFIG|SET CONFIG|RESETSTAT INFO CLUSTER|SLOTS CLUSTER|SHARDS CLUSTER|NODES
  CLUSTER|INFO CLUSTER|MYID CLUSTER|KEYSLOT CLUSTER|COUNTKEYSINSLOT GET SET SETNX SETEX PSETEX GETEX GETDEL
  GETSET MGET MSET MSETNX STRLEN APPEND GETRANGE SUBSTR SETRANGE INCR INCRBY DECR DECRBY INCRBYFLOAT DEL UNLINK
  EXISTS TYPE TOUCH EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL EXPIRETIME PEXPIRETIME PERSIST RENAME RENAMENX
  COPY SCAN KEYS RANDOMKEY OBJECT|ENCODING OBJECT|FREQ OBJECT|IDLETIME MEMORY|USAGE`.split(/\s+/);

function eachSpec(visit: (spec: CommandSpec, fullName: string) => void): void {
  for (const spec of COMMANDS) {
    visit(spec, spec.name);
    for (const sub of spec.subcommands ?? []) visit(sub, `${spec.name}|${sub.name}`);
  }
}

describe('the command table', () => {
  const table = new CommandTable(COMMANDS, HANDLERS, INSTANTS);

  it('has a handler for every entry, and an entry for every handler', () => {
    const names = new Set<string>();
    eachSpec((spec, fullName) => {
      assert.ok(!names.has(fullName), `${fullName} is there once`);
      names.add(fullName);
      const isContainer = spec.subcommands !== undefined;
      assert.ok(isContainer || HANDLERS.has(fullName), `${fullName} has a handler`);
    });
    for (const name of HANDLERS.keys()) assert.ok(names.has(name), `${name} is in the table`);
  });

  it('has every command that Dure promises', () => {
    for (const name of required) assert.ok(table.findFull(name) !== undefined, name);
  });

  it('finds a command in any case, and nothing else', () => {
    for (const command of table.commands) {
      for (const name of [
        command.fullName,
        command.fullName.toUpperCase(),
        `${command.fullName[0]!.toUpperCase()}${command.fullName.slice(1)}`,
      ]) {
        assert.equal(table.find(utf8Bytes(name)), command);
      }
      assert.equal(table.find(utf8Bytes(`${command.fullName}x`)), undefined);
    }
    assert.equal(table.find(new Uint8Array(0)), undefined);
    assert.equal(table.find(utf8Bytes('\x47\x45\x14')), undefined, 'only letters have a case');
    assert.equal(table.find(new Uint8Array(100_000).fill(0x67)), undefined);
  });

  it('says of every command that touches keys how', () => {
    eachSpec((spec, fullName) => {
      if (spec.keys === undefined) return;
      assert.ok(
        ['read', 'write', 'update', 'plain-write'].includes(spec.order ?? ''),
        `${fullName}: ${spec.order}`,
      );
      const writes = spec.flags.split(' ').includes('write');
      assert.equal(spec.order !== 'read', writes, `${fullName}: flag write`);
    });
  });

  it('is what docs/commands.md says', () => {
    const file = new URL('../../../docs/commands.md', import.meta.url);
    assert.equal(readFileSync(file, 'utf8'), commandsDocument(), 'run `npm run commands:doc`');
  });
});

describe('syntax', () => {
  it('is read for every command', () => {
    eachSpec((spec, fullName) => {
      const parsed = parseSyntax(spec.syntax);
      assert.equal(parsed.length > 0, spec.syntax !== '', fullName);
    });
  });

  it('makes tokens, alternatives, blocks and repetitions', () => {
    const [key, condition, get, pairs] = parseSyntax(
      'key [condition=NX|EX seconds] [GET] (pair=name value)...',
    );
    assert.deepEqual([key!.name, key!.type, key!.optional], ['key', 'key', false]);
    assert.deepEqual([condition!.name, condition!.type, condition!.optional], ['condition', 'oneof', true]);
    assert.deepEqual(
      condition!.arguments.map((choice) => [choice.name, choice.type, choice.token]),
      [
        ['nx', 'pure-token', 'NX'],
        ['seconds', 'integer', 'EX'],
      ],
    );
    assert.deepEqual([get!.type, get!.token, get!.optional], ['pure-token', 'GET', true]);
    assert.deepEqual([pairs!.type, pairs!.multiple, pairs!.arguments.length], ['block', true, 2]);
  });

  it('is shown to people without the names of groups', () => {
    assert.equal(syntaxForPeople('key:key [condition=NX|XX] (p=a b:double)...'), 'key [NX | XX] (a b) ...');
  });
});
