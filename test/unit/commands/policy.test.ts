/** `DURE.POLICY` at one door: what it shows, what it changes, and what it refuses. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CodedError } from '../../../src/base/errors.ts';
import { FakeClient, fakeServer } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';

const entry = (prefix: string, policy: string, origin: string, time: number): string =>
  `*8|$6|prefix|$${prefix.length}|${prefix}|$6|policy|$${policy.length}|${policy}|` +
  `$6|origin|$${origin.length}|${origin}|$6|set-at|:${time}|`;

describe('DURE.POLICY', () => {
  it('LIST and GET show what was SET, until it is UNSET', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    assert.equal(client.ask('dure.policy list'), `*1|${entry('', 'PA/EC', 'default', 0)}`);
    const changed = '*4|$12|acknowledged|*3|$2|n1|$2|n2|$2|n3|$6|missed|*0|';
    assert.equal(client.ask('DURE.POLICY SET cart: PA/EC siblings ttl=15m'), changed);
    assert.deepEqual(node.runTime.get('cart:'), {
      r: 2,
      w: 2,
      strict: false,
      conflicts: 'siblings',
      ttlMs: 900_000,
    });
    const cart = entry('cart:', 'PA/EC SIBLINGS TTL=15m', 'run-time', node.now);
    assert.equal(client.ask('dure.policy list'), `*2|${entry('', 'PA/EC', 'default', 0)}${cart}`);
    assert.equal(client.ask('dure.policy get cart:'), cart);
    assert.equal(client.ask('dure.policy get cart:17'), cart, 'the rule that a key goes by');
    assert.equal(client.ask('dure.policy get car'), entry('', 'PA/EC', 'default', 0));
    client.ask('dure.policy set cart:vip: PC/EC');
    assert.match(client.ask('dure.policy get cart:vip:1'), /cart:vip:.*PC\/EC/);
    assert.equal(client.ask('dure.policy get cart:1'), cart);
    assert.equal(client.ask('dure.policy unset cart:'), changed);
    assert.equal(node.runTime.has('cart:'), false);
    assert.equal(client.ask('dure.policy get cart:'), entry('', 'PA/EC', 'default', 0));
  });

  it('the default has the empty prefix, and a prefix may be any bytes', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    assert.match(client.askArgs(['dure.policy', 'set', '', 'PC/EC']), /acknowledged/);
    assert.equal(node.runTime.get('')?.strict, true);
    client.askArgs(['dure.policy', 'set', Uint8Array.of(0, 255, 10, 13), 'PC/EC']);
    assert.ok(node.runTime.has('\x00\xff\n\r'));
    assert.match(client.ask('dure.policy list'), /\$4\|\x00\xff/s);
  });

  it('says which members were missed', () => {
    const node = new FakeNode();
    node.dead.add('n3');
    const { client } = fakeServer(node);
    assert.equal(
      client.ask('dure.policy set a PC/EC'),
      '*4|$12|acknowledged|*2|$2|n1|$2|n2|$6|missed|*1|$2|n3|',
    );
    client.ask('hello 3');
    assert.equal(
      client.ask('dure.policy set a PC/EC'),
      '%2|$12|acknowledged|*2|$2|n1|$2|n2|$6|missed|*1|$2|n3|',
    );
    assert.match(client.ask('dure.policy list'), /^\*2\|%4\|\$6\|prefix\|/);
  });

  it('refuses what cannot be, with the reason, and changes nothing', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    const cases: readonly (readonly [string, RegExp])[] = [
      ['dure.policy', /^-ERR wrong number of arguments for 'dure.policy' command\|$/],
      ['dure.policy set a', /^-ERR wrong number of arguments for 'dure.policy\|set' command\|$/],
      ['dure.policy unset', /^-ERR wrong number of arguments/],
      ['dure.policy drop a', /^-ERR unknown subcommand 'drop'. Try DURE.POLICY HELP.\|$/],
      ['dure.policy set a R=1 W=4', /^-ERR W=4 is impossible with N=3: it must lie in 1 to 3\|$/],
      ['dure.policy set a faster', /^-ERR expected PA\/EL.*; found "faster"\|$/],
      ['dure.policy set a TTL=5s', /^-ERR expected a preset/],
      [`dure.policy set a ${'x'.repeat(2000)}`, /^-ERR a policy has at most 512 characters; found 2000\|$/],
    ];
    for (const [command, reply] of cases) assert.match(client.ask(command), reply, command.slice(0, 60));
    assert.equal(node.runTime.size, 0);
    node.failures.push(
      new CodedError('unavailable', 'fail', 'this node is starting or stopping; nothing was changed'),
    );
    assert.equal(
      client.ask('dure.policy set a PC/EC'),
      '-LOADING this node is starting or stopping; nothing was changed; use another node|',
    );
    assert.match(client.ask('dure.policy help'), /SET prefix/);
  });

  it('commands sent after SET wait for it', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.holds = true;
    client.send(['dure.policy', 'set', 'a', 'PC/EC']);
    client.send(['set', 'a1', 'v']);
    assert.deepEqual(node.log, ['policy a']);
    node.release();
    assert.deepEqual(node.log, ['policy a', 'write a1']);
    node.release();
  });

  it('asks for the password', () => {
    const node = new FakeNode();
    const { facts, dispatcher } = fakeServer(node);
    facts.password = 'secret';
    const stranger = new FakeClient(dispatcher, facts);
    for (const line of ['dure.policy list', 'dure.policy set a PC/EC', 'dure.policy unset a']) {
      assert.match(stranger.ask(line), /^-NOAUTH/, line);
    }
    assert.equal(node.runTime.size, 0);
  });
});
