/** Dure's own commands at one door: all values with their context, writes with a context, a connection's policy. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
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
    assert.equal(client.ask('dure.del k'), '+OK|');
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
    ]) {
      assert.equal(client.ask(command), '-ERR syntax error|', command);
    }
    assert.equal(node.rows.size, 0);
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
