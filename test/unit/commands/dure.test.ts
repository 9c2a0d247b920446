/** Dure's own commands at one door: all values with their context, writes with a context, a connection's policy. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import { CONTEXT_NONE, emptySet, writeInto } from '../../../src/causality/version-set.ts';
import type { ErrorReply } from '../../../src/resp/value.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { KIND_STRING } from '../../../src/rows/row.ts';
import { type RowVersions, rowOfVersions } from '../../../src/rows/siblings.ts';
import { fakeServer } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';

describe('DURE commands', () => {
  it('DURE.GET gives the context and all values, DURE.SET and DURE.DEL write', () => {
    const { client } = fakeServer(new FakeNode());
    assert.match(client.ask('dure.get k'), /^\*4\|\$7\|context\|\$[0-9]+\|.*\$6\|values\|\*0\|$/s);
    assert.equal(client.ask('dure.set k v'), '+OK|');
    assert.match(client.ask('dure.get k'), /\$6\|values\|\*1\|\$1\|v\|$/s);
    assert.equal(client.ask('dure.set k w ex 10'), '+OK|');
    assert.equal(client.ask('ttl k'), ':10|');
    const context = /\|context\|\$\d+\|([\w-]+)\|/.exec(client.ask('dure.get k'))![1];
    assert.equal(client.ask(`dure.del k context ${context}`), '+OK|');
    assert.equal(client.ask('get k'), '$-1|');
  });

  it('options that cannot be are refused, and nothing is written', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    for (const command of [
      'dure.set k v context',
      'dure.set k v context a context b',
      'dure.set k v ex 1 px 1',
      'dure.set k v nx 1',
      'dure.del k ex 1',
      'dure.del k nocontext x',
    ]) {
      assert.equal(client.ask(command), '-ERR syntax error|', command);
    }
    assert.equal(node.rows.size, 0);
  });

  it('a context is text, and anything else is refused before it is looked at', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    client.ask('dure.set k v');
    const context = /\$7\|context\|\$\d+\|([\w-]+)\|/.exec(client.ask('dure.get k'))?.[1];
    assert.ok(context !== undefined && context.length > 20, 'letters that no client spoils');
    assert.equal(client.ask(`dure.set k w context ${context}`), '+OK|');
    assert.match(
      client.ask('dure.del k'),
      /^-ERR wrong number of arguments/,
      'a delete that saw nothing deletes nothing',
    );
    for (const wrong of ['', `${context}=`, '"x"', 'a+b/', 'A', '\x01\x02', 'A'.repeat(100_000)]) {
      const answer = client.send([
        bytesOf('dure.set'),
        bytesOf('k'),
        bytesOf('x'),
        bytesOf('context'),
        bytesOf(wrong),
      ]);
      assert.match(
        String((answer.reply as ErrorReply).message),
        /not one that DURE\.GET gave; nothing was written/,
      );
    }
    assert.equal(client.ask('get k'), '$1|w|');
  });

  it('RENAME refuses a key with several siblings: it would lose all but one', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    let set: RowVersions = emptySet();
    for (const actor of [1, 2]) {
      const value = { kind: KIND_STRING, value: bytesOf(`v${actor}`), expireAt: 0 };
      set = writeInto(set, CONTEXT_NONE, { actor, counter: 1, time: node.now, logical: actor }, value);
    }
    node.rows.set('k', rowOfVersions(rowKeyOf('k'), set)!);
    for (const command of ['rename k l', 'renamenx k l']) {
      assert.match(client.ask(command), /^-SIBLINGS the key has 2 siblings.*nothing was written.*DURE\.GET/);
    }
    assert.match(client.ask('dure.get k'), /\$2\|v2\|\$2\|v1\|$/);
    assert.equal(client.ask('exists l'), ':0|');
    assert.equal(client.ask('rename k k'), '+OK|', 'as Redis: nothing is done');
  });

  it('DURE.CONSISTENCY sets, tells and ends the policy of the connection', () => {
    const { client } = fakeServer(new FakeNode());
    assert.match(client.ask('dure.consistency'), /DEFAULT/);
    assert.equal(client.ask('dure.consistency pc/ec siblings'), '+OK|');
    assert.match(client.ask('dure.consistency'), /PC\/EC.*SIBLINGS/s);
    assert.match(client.ask('dure.consistency w=9 r=1'), /^-ERR .*W=9.*N=3/s);
    assert.match(client.ask('dure.consistency'), /PC\/EC/, 'a policy that cannot be changes nothing');
    assert.equal(client.ask('dure.consistency default'), '+OK|');
    assert.match(client.ask('dure.consistency'), /DEFAULT/);
    client.ask('dure.consistency pc/ec');
    client.ask('reset');
    assert.match(client.ask('dure.consistency'), /DEFAULT/);
  });
});
