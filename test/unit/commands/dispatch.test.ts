import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { utf8Bytes, utf8Text } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { POLICY_PRESETS } from '../../../src/coordinator/policy.ts';
import { slotOf } from '../../../src/ring/slots.ts';
import { FakeClient, fakeServer, showReply } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';

const unreachable = new CodedError('quorum-unreachable', 'fail', '1 of 2 replicas reached');
const lost = new CodedError('deadline-exceeded', 'unknown', 'no quorum after 1000 ms');

describe('the dispatcher', () => {
  it('turns away what is wrong in the words of Redis', () => {
    const { client } = fakeServer(new FakeNode());
    assert.equal(client.ask('foo a b'), "-ERR unknown command 'foo', with args beginning with: 'a' 'b' |");
    assert.equal(client.ask('get'), "-ERR wrong number of arguments for 'get' command|");
    assert.equal(client.ask('GET a b'), "-ERR wrong number of arguments for 'get' command|");
    assert.equal(client.ask('client'), "-ERR wrong number of arguments for 'client' command|");
    assert.equal(client.ask('client kill'), "-ERR wrong number of arguments for 'client|kill' command|");
    assert.equal(client.ask('client foo'), "-ERR unknown subcommand 'foo'. Try CLIENT HELP.|");
  });

  it('refuses a key that no message between nodes can hold', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    const key = 'k'.repeat(65_001);
    assert.match(client.askArgs(['get', key]), /^-ERR key is too long: 65001 bytes, the limit is 65000/);
    assert.match(client.askArgs(['mget', 'a', key]), /^-ERR key is too long/);
    assert.deepEqual(node.log, []);
    assert.equal(client.askArgs(['get', key.slice(1)]), '$-1|');
  });

  it('lets nobody in without the password', () => {
    const node = new FakeNode();
    const { facts, dispatcher } = fakeServer(node);
    facts.password = 'secret';
    const client = new FakeClient(dispatcher, facts);
    assert.equal(client.ask('get a'), '-NOAUTH Authentication required.|');
    assert.match(
      client.ask('hello 3'),
      /^-NOAUTH HELLO must be called with the client already authenticated/,
    );
    assert.equal(client.ask('auth wrong'), '-WRONGPASS invalid username-password pair or user is disabled.|');
    assert.equal(
      client.ask('auth other secret'),
      '-WRONGPASS invalid username-password pair or user is disabled.|',
    );
    assert.equal(
      client.ask('hello 2 auth default nope'),
      '-WRONGPASS invalid username-password pair or user is disabled.|',
    );
    assert.deepEqual(node.log, [], 'nothing was asked of the node');
    assert.equal(client.ask('auth secret'), '+OK|');
    assert.equal(client.ask('get a'), '$-1|');
    assert.equal(client.ask('reset'), '+RESET|');
    assert.equal(client.ask('get a'), '-NOAUTH Authentication required.|');
    assert.match(client.ask('hello 3 auth default secret setname me'), /^%7\|/);
    assert.equal(client.ask('client getname'), '$2|me|');
    assert.equal(client.session.protocol, 3);
  });

  it('says what became of the data when the node fails', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.failures.push(unreachable, lost, new CodedError('storage-full', 'fail', 'memory is full'));
    assert.equal(client.ask('set a 1'), '-TRYAGAIN 1 of 2 replicas reached; nothing was written; try again|');
    assert.equal(
      client.ask('incr a'),
      '-UNKNOWN no quorum after 1000 ms; the write may or may not be applied; read the key to know|',
    );
    assert.equal(client.ask('set a 1'), '-OOM memory is full; nothing was written|');
    node.failures.push(new CodedError('overloaded', 'fail', 'full; nothing was written; try again later'));
    assert.equal(client.ask('set a 1'), '-TRYAGAIN full; nothing was written; try again later|', 'said once');
    node.failures.push(new CodedError('quorum-unreachable', 'none', '0 of 2 replicas reached'));
    assert.equal(client.ask('get a'), '-TRYAGAIN 0 of 2 replicas reached; try again|');
  });

  it('never says "nothing was written" of a command that is half written', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.failures.push(undefined, unreachable);
    assert.match(
      client.ask('mset a 1 b 2'),
      /^-UNKNOWN 1 of 2 keys are done, the others are not, or may be: 1 of 2 replicas reached/,
    );
    node.failures.push(unreachable);
    assert.match(client.ask('mset a 1 b 2'), /^-TRYAGAIN .*nothing was written/);
    node.failures.push(lost);
    assert.match(client.ask('mset a 1 b 2'), /^-UNKNOWN 0 of 2/);
    node.failures.push(undefined, unreachable);
    assert.match(client.ask('del a b'), /^-UNKNOWN 1 of 2/);
    node.failures.push(undefined, new CodedError('quorum-unreachable', 'none', 'x'));
    assert.equal(client.ask('mget a b'), '-TRYAGAIN x; try again|');
    client.ask('set a 1');
    node.failures.push(undefined, undefined, unreachable);
    assert.match(
      client.ask('rename a z'),
      /^-UNKNOWN the new key is written, but the old one may still be there/,
    );
  });

  it('begins a few hundred parts of a large command at once', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    const keys = Array.from({ length: 10_000 }, (_, index) => `k${index}`);
    assert.equal(client.askArgs(['mset', ...keys.flatMap((key) => [key, key])]), '+OK|');
    node.holds = true;
    const mget = client.send(['mget', ...keys]);
    assert.equal(node.held.length, 256);
    while (node.held.length > 0) node.release(node.held.length - 1);
    assert.deepEqual((mget.reply as Uint8Array[]).map(utf8Text), keys);
  });

  it('begins nothing more after an error', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.failures.push(undefined, unreachable);
    assert.match(client.ask('mset a 1 b 2 c 3 d 4'), /^-UNKNOWN 1 of 4/);
    assert.deepEqual(node.log, ['write a', 'write b']);
  });

  it('is silent where the client asked for it', () => {
    const { client } = fakeServer(new FakeNode());
    assert.equal(client.ask('client reply skip'), 'silence');
    assert.equal(client.ask('set a 1'), 'silence');
    assert.equal(client.ask('get a'), '$1|1|');
    assert.equal(client.ask('client reply off'), 'silence');
    assert.equal(client.ask('nonsense'), 'silence');
    assert.equal(client.ask('set a 2'), 'silence');
    assert.equal(client.ask('client reply on'), '+OK|');
    assert.equal(client.ask('get a'), '$1|2|');
    client.ask('client reply off');
    assert.equal(client.ask('reset'), '+RESET|');
    assert.equal(client.ask('get a'), '$1|2|');
  });

  it('silences the next command asked, not the next one answered', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.holds = true;
    client.send(['client', 'reply', 'skip']);
    const slow = client.send(['get', 'a']);
    const quick = client.send(['ping']);
    assert.equal(showReply(quick.reply), '+PONG|');
    node.release();
    assert.deepEqual(slow, { pending: false, reply: undefined });
  });

  it('answers QUIT and closes', () => {
    const { client } = fakeServer(new FakeNode());
    assert.equal(client.ask('quit now'), '+OK|');
    assert.deepEqual(client.closes, ['after-replies']);
  });

  it('counts calls, failures and refusals', () => {
    const { client, dispatcher } = fakeServer(new FakeNode());
    client.ask('set a x');
    client.ask('incr a');
    client.ask('incr');
    client.ask('nope');
    const { statistics, context } = dispatcher;
    const incr = context.table.findFull('incr')!.index;
    assert.deepEqual([statistics.calls[incr], statistics.failed[incr], statistics.rejected[incr]], [1, 1, 1]);
    assert.equal(statistics.commandsProcessed, 4);
    assert.equal(statistics.errorsByCode.get('ERR'), 3);
    assert.equal(client.ask('config resetstat'), '+OK|');
    assert.deepEqual([statistics.calls[incr], statistics.errorReplies], [0, 0]);
  });
});

describe('a pipeline', () => {
  it('reads its own writes, whatever is slow', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.holds = true;
    const set = client.send(['set', 'a', '1']);
    const other = client.send(['get', 'b']);
    const get = client.send(['get', 'a']);
    assert.deepEqual(node.log, ['write a', 'read b'], 'the read of `a` has not begun');
    node.release(1);
    assert.equal(showReply(other.reply), '$-1|');
    node.release();
    assert.equal(showReply(set.reply), '+OK|');
    assert.equal(get.pending, true);
    node.release();
    assert.equal(showReply(get.reply), '$1|1|');
  });

  it('writes one key twice at once only where this node stamps the writes', () => {
    const node = new FakeNode(6);
    node.holds = true;
    const keyOf = (mine: boolean): string =>
      ['a', 'b', 'c', 'd', 'e', 'f', 'g'].find((key) => node.table.isReplica(slotOf(key), node.id) === mine)!;
    const sent = (key: string, words: readonly string[]): number => {
      const { client } = fakeServer(node);
      node.log.length = 0;
      client.send(['set', key, '1']);
      client.send(['set', key, '2', ...words]);
      return node.log.length;
    };
    assert.equal(sent(keyOf(true), []), 2);
    assert.equal(sent(keyOf(false), []), 1);
    assert.equal(sent(keyOf(true), ['NX']), 1, 'SET NX looks at what is there');
    node.policy = POLICY_PRESETS['PC/EC'];
    assert.equal(sent(keyOf(true), []), 1);
  });

  it('lets HELLO wait for what was asked before it', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.holds = true;
    client.send(['get', 'a']);
    const hello = client.send(['hello', '3']);
    assert.deepEqual([hello.pending, client.session.protocol], [true, 2]);
    node.release();
    assert.deepEqual([hello.pending, client.session.protocol], [false, 3]);
  });

  it('checks the password when a command begins, not when it was sent', () => {
    const node = new FakeNode();
    const { facts, dispatcher } = fakeServer(node);
    facts.password = 'secret';
    const client = new FakeClient(dispatcher, facts);
    client.ask('auth secret');
    node.holds = true;
    client.send(['get', 'a']);
    client.send(['reset']);
    const after = client.send(['get', 'b']);
    node.release();
    assert.equal(showReply(after.reply), '-NOAUTH Authentication required.|');
  });

  it('keeps nothing of the bytes it was given', () => {
    const { client } = fakeServer(new FakeNode());
    const value = utf8Bytes('kept');
    client.send([utf8Bytes('set'), utf8Bytes('a'), value]);
    value.fill(0);
    assert.equal(client.ask('get a'), '$4|kept|');
  });
});
