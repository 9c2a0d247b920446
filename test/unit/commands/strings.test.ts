/** Replies that Redis 7 gives; test/integration/redis-differential.test.ts compares many more with a real one. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UPDATES } from '../../../src/commands/updates.ts';
import { fakeServer } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';

/** Each line is a command, ` → ` and its reply. */
function plays(script: string, node: FakeNode = new FakeNode()): void {
  const { client } = fakeServer(node);
  for (const line of script.trim().split('\n')) {
    const [command, expected] = line.trim().split(' → ') as [string, string];
    assert.equal(client.ask(command), expected, command);
  }
}

describe('string commands', () => {
  it('SET and its options', () => {
    plays(`
      set a 1 → +OK|
      get a → $1|1|
      set a 2 nx → $-1|
      set b 2 xx → $-1|
      set a 3 xx get → $1|1|
      set c 1 nx get → $-1|
      set a 4 nx get → $1|3|
      set a 5 ex 100 → +OK|
      set a 6 keepttl → +OK|
      ttl a → :100|
      set a 7 → +OK|
      ttl a → :-1|
      set a 7 pxat 1 → +OK|
      get a → $-1|
      set a 1 nx xx → -ERR syntax error|
      set a 1 ex → -ERR syntax error|
      set a 1 ex 10 px 10 → -ERR syntax error|
      set a 1 ex 10 keepttl → -ERR syntax error|
      set a 1 persist → -ERR syntax error|
      set a 1 ex x → -ERR value is not an integer or out of range|
      set a 1 ex 0 → -ERR invalid expire time in 'set' command|
      setex a 0 1 → -ERR invalid expire time in 'setex' command|
      psetex a -1 1 → -ERR invalid expire time in 'psetex' command|
      setnx n 1 → :1|
      setnx n 2 → :0|
      getset n 3 → $1|1|
      getdel n → $1|3|
      getdel n → $-1|`);
  });

  it('GETEX changes the time of expiry only', () => {
    plays(`
      set a 1 → +OK|
      getex a ex 50 → $1|1|
      ttl a → :50|
      getex a → $1|1|
      ttl a → :50|
      getex a persist → $1|1|
      ttl a → :-1|
      getex nokey ex x → $-1|
      getex a ex x → -ERR value is not an integer or out of range|
      getex a exat 1 → $1|1|
      exists a → :0|`);
  });

  it('arithmetic over 64 bits', () => {
    plays(`
      incr n → :1|
      incrby n 9223372036854775806 → :9223372036854775807|
      incr n → -ERR increment or decrement would overflow|
      get n → $19|9223372036854775807|
      decrby n 9223372036854775807 → :0|
      decrby n -9223372036854775808 → -ERR decrement would overflow|
      incrby n 1.5 → -ERR value is not an integer or out of range|
      set s 007 → +OK|
      incr s → -ERR value is not an integer or out of range|
      set f 10.50 → +OK|
      incrbyfloat f 0.1 → $4|10.6|
      incrbyfloat f x → -ERR value is not a valid float|
      incrbyfloat f inf → -ERR increment would produce NaN or Infinity|`);
  });

  it('parts of strings', () => {
    plays(`
      append a Hello → :5|
      append a World → :10|
      getrange a 0 -6 → $5|Hello|
      getrange a -3 -1 → $3|rld|
      getrange a 5 2 → $0||
      substr a 0 0 → $1|H|
      strlen a → :10|
      setrange a 5 - → :10|
      get a → $10|Hello-orld|
      setrange p 3 x → :4|
      setrange a -1 x → -ERR offset is out of range|
      setrange a 536870912 x → -ERR string exceeds maximum allowed size (proto-max-bulk-len)|`);
  });

  it('many keys', () => {
    plays(`
      mset a 1 b 2 a 3 → +OK|
      mget a b c → *3|$1|3|$1|2|$-1|
      mset a → -ERR wrong number of arguments for 'mset' command|
      mset a 1 b → -ERR wrong number of arguments for 'mset' command|
      msetnx c 1 b 2 → :0|
      exists c → :0|
      msetnx c 1 d 2 → :1|
      exists a a c nokey → :3|
      del a a c → :2|`);
  });

  it('MSETNX that loses a race takes back what it set', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.holds = true;
    const answer = client.send(['msetnx', 'a', '1', 'b', '2']);
    node.release();
    node.release();
    node.holds = false;
    const rival = fakeServer(node).client;
    rival.ask('set b rival');
    while (node.held.length > 0) node.release();
    assert.equal(answer.reply, 0);
    assert.equal(rival.ask('get a'), '$-1|');
    assert.equal(rival.ask('get b'), '$5|rival|');
  });

  it('refuses a pair over the limit before anything is written', () => {
    const node = new FakeNode(3, 100);
    const { client } = fakeServer(node);
    assert.match(
      client.askArgs(['mset', 'a', '1', 'b', 'x'.repeat(100)]),
      /^-ERR key and value together are 101 bytes, the limit is 100/,
    );
    assert.match(client.ask('setrange a 200 x'), /^-ERR key and value together/);
    assert.deepEqual(node.log, []);
  });
});

describe('key commands', () => {
  it('expiry with conditions', () => {
    plays(`
      expire a 10 → :0|
      set a 1 → +OK|
      expire a 10 xx → :0|
      expire a 10 gt → :0|
      expire a 10 lt → :1|
      expire a 20 nx → :0|
      expire a 20 lt → :0|
      expire a 20 gt → :1|
      pttl a → :20000|
      pexpiretime a → :1700000020000|
      expiretime a → :1700000020|
      persist a → :1|
      persist a → :0|
      ttl nokey → :-2|
      expire a 10 nx gt → -ERR NX and XX, GT or LT options at the same time are not compatible|
      expire a 10 gt lt → -ERR GT and LT options at the same time are not compatible|
      expire a 10 foo → -ERR Unsupported option foo|
      expire a 9223372036854775807 → -ERR invalid expire time in 'expire' command|
      expire a -1 → :1|
      exists a → :0|
      type a → +none|`);
  });

  it('a key is gone when its time has come', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    client.ask('set a 1 px 100');
    node.now += 99;
    assert.equal(client.ask('pttl a'), ':1|');
    node.now += 1;
    assert.equal(client.ask('get a'), '$-1|');
    assert.equal(client.ask('incr a'), ':1|', 'and what comes after starts anew');
    assert.equal(client.ask('ttl a'), ':-1|');
  });

  it('RENAME and COPY carry value and expiry', () => {
    plays(`
      rename a b → -ERR no such key|
      set a 1 ex 100 → +OK|
      rename a b → +OK|
      ttl b → :100|
      exists a → :0|
      set a 2 → +OK|
      renamenx a b → :0|
      rename a a → +OK|
      renamenx a a → :0|
      copy b a → :0|
      copy b a replace → :1|
      ttl a → :100|
      copy a a → -ERR source and destination objects are the same|
      copy a c db 1 → -ERR DB index is out of range|`);
  });

  it('RENAME leaves a source that changed meanwhile', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    client.ask('set a old');
    node.holds = true;
    const answer = client.send(['rename', 'a', 'b']);
    node.release();
    node.release();
    node.holds = false;
    fakeServer(node).client.ask('set a new');
    node.release();
    assert.equal(answer.pending, false);
    assert.equal(client.ask('mget a b'), '*2|$3|new|$3|old|');
  });

  it('RENAME leaves a source that was written anew meanwhile, even with the same value', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    client.ask('set a same');
    node.holds = true;
    client.send(['rename', 'a', 'b']);
    node.release();
    node.release();
    node.holds = false;
    node.now += 1;
    fakeServer(node).client.ask('set a same');
    node.release();
    assert.equal(client.ask('mget a b'), '*2|$4|same|$4|same|');
  });

  it('OBJECT tells what is known', () => {
    const node = new FakeNode();
    plays(
      `
      object encoding a → $-1|
      set a 12345 → +OK|
      object encoding a → $3|int|
      set a 0012 → +OK|
      object encoding a → $6|embstr|
      set a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx → +OK|
      object encoding a → $3|raw|
      object refcount a → :1|`,
      node,
    );
    const { client } = fakeServer(node);
    assert.match(client.ask('object freq a'), /^-ERR An LFU maxmemory policy is not selected/);
    assert.match(client.ask('object idletime a'), /^-ERR idle time is not tracked here/);
    node.idle = 7;
    node.uses = 5;
    assert.equal(client.ask('object idletime a'), ':7|');
    assert.equal(client.ask('object freq a'), ':5|');
    assert.equal(client.ask('object freq nokey'), '$-1|');
  });
});

describe('walking over keys', () => {
  it('SCAN meets every key once, in pages, from any node', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    for (let i = 0; i < 300; i++) client.ask(`set key:${i} ${i}`);
    const seen = new Set<string>();
    let cursor = '0';
    let pages = 0;
    do {
      const reply = client.ask(`scan ${cursor} count 20`).split('|');
      cursor = reply[2]!;
      for (const word of reply) if (word.startsWith('key:')) seen.add(word);
      pages++;
    } while (cursor !== '0');
    assert.equal(seen.size, 300);
    assert.equal(pages, 15);
    assert.equal(client.ask('dbsize'), ':300|');
    assert.equal(client.ask('scan 99999999999999'), '*2|$1|0|*0||'.replace('*0||', '*0|'));
    assert.equal(client.ask('scan x'), '-ERR invalid cursor|');
    assert.equal(client.ask('scan 0 count 0'), '-ERR syntax error|');
    assert.equal(client.ask('scan 0 type hash count 1000'), '*2|$1|0|*0|');
    assert.equal(
      client
        .ask('keys key:29?')
        .split('|')
        .filter((word) => word.startsWith('key')).length,
      10,
    );
    assert.match(client.ask('randomkey'), /^\$\d+\|key:\d+\|$/);
    assert.equal(client.ask('flushall async'), '+OK|');
    assert.equal(client.ask('randomkey'), '$-1|');
    assert.equal(client.ask('flushall now'), '-ERR syntax error|');
  });

  it('walks pages that come later without growing the stack', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    for (let i = 0; i < 3500; i++) client.ask(`set ${i} x`);
    node.holds = true;
    const keys = client.send(['keys', '*']);
    for (let i = 0; i < 4; i++) node.release();
    assert.equal((keys.reply as readonly unknown[]).length, 3500);
  });

  it('counts and lists the keys of a slot', () => {
    const { client } = fakeServer(new FakeNode());
    client.ask('mset {t}1 a {t}2 b other c');
    const slot = client.ask('cluster keyslot {t}x').slice(1, -1);
    assert.equal(client.ask(`cluster countkeysinslot ${slot}`), ':2|');
    assert.match(client.ask(`cluster getkeysinslot ${slot} 10`), /^\*2\|\$4\|\{t\}[12]\|\$4\|\{t\}[12]\|$/);
    assert.match(client.ask(`cluster getkeysinslot ${slot} 1`), /^\*1\|/);
    assert.equal(client.ask('cluster countkeysinslot 16384'), '-ERR Invalid slot|');
  });
});

describe('updates', () => {
  it('change nothing they were given', () => {
    const value = Uint8Array.from([0x31, 0x32]);
    const current = Object.freeze({ kind: 1, value, expireAt: 0 });
    const arg = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    for (const [name, update] of UPDATES) {
      update(current, [arg('5'), arg('7'), arg('0')], {
        key: 'k',
        wall: 1000,
        contextOf: () => new Uint8Array(0),
      });
      assert.deepEqual([...value], [0x31, 0x32], name);
    }
  });
});
