/** `DURE.WITH policy… DO command`: what reaches the node, in which order, and what is refused. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { Policy } from '../../../src/coordinator/policy.ts';
import type {
  FlushDone,
  ReadDone,
  RequestOptions,
  ScanDone,
  UpdateDone,
  VersionsDone,
  WriteDone,
} from '../../../src/node/api.ts';
import { ErrorReply, type RespValue } from '../../../src/resp/value.ts';
import type { Row, RowBody } from '../../../src/rows/row.ts';
import { FakeClient, fakeServer } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';

/** Remembers under which policy each request came. */
class PolicyNode extends FakeNode {
  readonly seen: (readonly [what: string, policy: Policy | undefined])[] = [];

  override read(key: string, options: RequestOptions, done: ReadDone): void {
    this.seen.push([`read ${key}`, options.policy]);
    super.read(key, options, done);
  }
  override readNow(key: string, options: RequestOptions): Row | null | undefined {
    const row = super.readNow(key, options);
    if (row !== undefined) this.seen.push([`now ${key}`, options.policy]);
    return row;
  }
  override readVersions(key: string, options: RequestOptions, done: VersionsDone): void {
    this.seen.push([`versions ${key}`, options.policy]);
    super.readVersions(key, options, done);
  }
  override write(key: string, body: RowBody, options: RequestOptions, done: WriteDone): void {
    this.seen.push([`write ${key}`, options.policy]);
    super.write(key, body, options, done);
  }
  override update(
    key: string,
    operation: string,
    args: readonly Uint8Array[],
    options: RequestOptions,
    done: UpdateDone,
  ): void {
    this.seen.push([`${operation} ${key}`, options.policy]);
    super.update(key, operation, args, options, done);
  }
  override scan(cursor: number, count: number, options: RequestOptions, done: ScanDone): void {
    this.seen.push(['scan', options.policy]);
    super.scan(cursor, count, options, done);
  }
  override flush(options: RequestOptions, done: FlushDone): void {
    this.seen.push(['flush', options.policy]);
    super.flush(options, done);
  }
}

const strict = { r: 2, w: 2, strict: true };

describe('DURE.WITH', () => {
  it('makes the requests of one command under its policy, and of no other', () => {
    const node = new PolicyNode();
    const { client } = fakeServer(node);
    assert.equal(client.ask('DURE.WITH PC/EC DO SET k v'), '+OK|');
    assert.equal(client.ask('get k'), '$1|v|');
    assert.equal(client.ask('dure.with r=1 w=3 strict do GET k'), '$1|v|');
    assert.equal(client.ask('dure.with pc/ec do incrby n 5'), ':5|');
    assert.equal(client.ask('dure.with pc/ec do mset a 1 b 2'), '+OK|');
    assert.equal(client.ask('dure.with pc/ec do mget a b'), '*2|$1|1|$1|2|');
    assert.equal(client.ask('dure.with pc/ec do dure.set k w'), '+OK|');
    assert.match(client.ask('dure.with pc/ec do dure.get k'), /\$1\|w\|$/);
    assert.match(client.ask('dure.with pc/ec do scan 0'), /^\*2/);
    assert.equal(client.ask('dure.with pc/ec do del k'), ':1|');
    assert.equal(client.ask('dure.with pc/ec do flushall'), '+OK|');
    assert.equal(client.ask('set k v'), '+OK|');
    const all = [
      ['write k', strict],
      ['now k', undefined],
      ['now k', { r: 1, w: 3, strict: true }],
      ['incr n', strict],
      ['write a', strict],
      ['write b', strict],
      ['read a', strict],
      ['read b', strict],
      ['write k', strict],
      ['versions k', strict],
      ['scan', strict],
      ['del k', strict],
      ['flush', strict],
      ['write k', undefined],
    ];
    assert.deepEqual(node.seen, all);
    assert.equal(
      node.seen[4]![1],
      node.seen[5]![1],
      'the same words come to the same object, which the node knows by then',
    );
  });

  it('takes the place of the policy of the connection, once', () => {
    const node = new PolicyNode();
    const { client } = fakeServer(node);
    client.ask('dure.consistency PA/EL SIBLINGS');
    client.ask('get k');
    client.ask('dure.with PC/EC do get k');
    client.ask('get k');
    const own = { r: 1, w: 1, strict: false, conflicts: 'siblings' };
    assert.deepEqual(
      node.seen.map(([, policy]) => policy),
      [own, strict, own],
    );
    assert.match(client.ask('dure.consistency'), /PA\/EL SIBLINGS/);
  });

  it('takes all words of a policy, in one argument or in several', () => {
    const node = new PolicyNode();
    const { client } = fakeServer(node);
    client.ask('dure.with PC/EC R=1 W=3 SLOPPY SIBLINGS SIBLINGS-READ=ERROR TTL=30s do set k v');
    client.askArgs([
      'dure.with',
      'PC/EC R=1 W=3 SLOPPY SIBLINGS SIBLINGS-READ=ERROR TTL=30s',
      'do',
      'set',
      'k',
      'v',
    ]);
    const all = { r: 1, w: 3, strict: false, conflicts: 'siblings', siblingsRead: 'error', ttlMs: 30_000 };
    assert.deepEqual(node.seen, [
      ['write k', all],
      ['write k', all],
    ]);
  });

  it('refuses what is no policy or no command, and does nothing', () => {
    const node = new PolicyNode();
    const { client, dispatcher } = fakeServer(node);
    const cases: readonly (readonly [string, RegExp])[] = [
      ['dure.with', /^-ERR wrong number of arguments for 'dure.with' command\|$/],
      ['dure.with PC/EC DO', /^-ERR wrong number of arguments/],
      ['dure.with PC/EC GET k', /^-ERR DURE.WITH: expected DO and a command/],
      ['dure.with PC/EC GET k v w x y z a DO GET k', /^-ERR DURE.WITH: expected DO/],
      ['dure.with GET k DO', /^-ERR DURE.WITH: expected DO/],
      ['dure.with DO GET k', /^-ERR expected PA\/EL.*; found nothing\|$/],
      ['dure.with fast do get k', /^-ERR expected PA\/EL.*; found "fast"\|$/],
      ['dure.with PC/EC get do k v', /^-ERR expected PA\/EL.*; found "get"\|$/],
      ['dure.with r=1 w=9 do get k', /^-ERR W=9 is impossible with N=3: it must lie in 1 to 3\|$/],
      ['dure.with w=3 do get k', /^-ERR expected a preset .*, or both R= and W=/],
      ['dure.with r=1 r=2 w=1 do get k', /says again what was said before it/],
      ['dure.with PC/EC PA/EL do get k', /only one preset/],
      ['dure.with PC/EC do dure.with PA/EL do get k', /^-ERR DURE.WITH stands before a command, not before/],
      [
        'dure.with PC/EC do nonsense k',
        /^-ERR unknown command 'nonsense', with args beginning with: 'k' \|$/,
      ],
      ['dure.with PC/EC do get', /^-ERR wrong number of arguments for 'get' command\|$/],
      ['dure.with PC/EC do set k v bad', /^-ERR syntax error\|$/],
      ['dure.with PC/EC do ping', /^-ERR 'ping' asks for no data/],
      ['dure.with PC/EC do client list', /^-ERR 'client\|list' asks for no data/],
      ['dure.with PC/EC do dure.consistency PA/EL', /asks for no data/],
      ['dure.with PC/EC do dure.policy list', /asks for no data/],
      ['dure.with PC/EC do config nonsense', /unknown subcommand/],
      [`dure.with PC/EC do get ${'k'.repeat(65_001)}`, /^-ERR key is too long/],
    ];
    for (const [command, reply] of cases) assert.match(client.ask(command), reply, command.slice(0, 80));
    assert.deepEqual(node.seen, []);
    const { statistics } = dispatcher;
    const prefix = dispatcher.context.table.findFull('dure.with')!.index;
    assert.equal(statistics.rejected[prefix], 13);
    assert.equal(client.ask('get k'), '$-1|', 'the connection is as it was');
  });

  it('survives hostile words', () => {
    const { client } = fakeServer(new PolicyNode());
    const huge = new Uint8Array(5_000_000).fill(0x41);
    const words = [huge, utf8Bytes('a\r\n+OK\r\n'), new Uint8Array(0), Uint8Array.of(0, 255, 13, 10)];
    for (const word of words) {
      const reply = client.askArgs(['dure.with', word, 'do', 'get', 'k']);
      assert.match(reply, /^-ERR [^|]*\|$/s, 'one line');
      assert.ok(reply.length < 600, `${reply.length}`);
    }
    // More texts than are remembered.
    for (let ms = 1; ms <= 200; ms++) {
      assert.equal(client.ask(`dure.with PC/EC TTL=${ms}ms do set k v`), '+OK|');
    }
  });

  it('whatever stands there is answered once, and the connection goes on', () => {
    const { client } = fakeServer(new PolicyNode());
    const known = [
      'DURE.WITH',
      'DURE.POLICY',
      'DO',
      'PC/EC',
      'R=1',
      'W=3',
      'W=99999999999',
      'STRICT',
      'SIBLINGS',
      'TTL=1s',
    ];
    const commands = ['GET', 'SET', 'MSET', 'DEL', 'COMMAND', 'GETKEYS', 'LIST', 'UNSET', 'k', ''];
    const word = fc.oneof(
      fc.constantFrom(...known),
      fc.constantFrom(...commands),
      fc.uint8Array({ maxLength: 12 }),
    );
    let errors = 0;
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        const answer = client.send(['dure.with', ...words]);
        assert.equal(answer.pending, false);
        if (answer.reply instanceof ErrorReply) errors++;
        const keys = client.send(['command', 'getkeys', 'dure.with', ...words]);
        assert.equal(keys.pending, false);
        const change = client.send(['dure.policy', ...words]);
        assert.equal(change.pending, false);
        assert.equal(client.ask('dure.with PC/EC do get nothing-there'), '$-1|');
      }),
      { numRuns: 500 },
    );
    assert.ok(errors > 300, `${errors} were refused`);
  });

  it('keeps the order that the command has without it', () => {
    const node = new PolicyNode();
    const { client } = fakeServer(node);
    node.holds = true;
    const replies: RespValue[] = [];
    const answers = [
      'dure.with PC/EC do incr k',
      'dure.with PC/EC do get k',
      'get other',
      'dure.with PC/EC do dbsize',
    ].map((line) => client.send(line.split(' ')));
    assert.deepEqual(node.log, ['incr k'], 'the read of k waits for the update of k');
    while (node.held.length > 0) node.release();
    for (const answer of answers) {
      assert.equal(answer.pending, false);
      replies.push(answer.reply!);
    }
    assert.deepEqual(node.log, ['incr k', 'read k', 'read other', 'count 0 16384']);
    assert.equal(replies[0], 1n);
    assert.deepEqual(replies[1], utf8Bytes('1'));
  });

  it('is counted, and so is the command, with its errors', () => {
    const node = new PolicyNode();
    const { client, dispatcher } = fakeServer(node);
    const { statistics, table } = dispatcher.context;
    const index = (name: string): number => table.findFull(name)!.index;
    client.ask('dure.with PC/EC do get k');
    client.ask('dure.with PC/EC do get k');
    node.failures.push(new CodedError('quorum-unreachable', 'none', 'too few'));
    assert.match(client.ask('dure.with PC/EC do get k'), /^-TRYAGAIN/);
    assert.equal(statistics.calls[index('dure.with')], 3);
    assert.equal(statistics.calls[index('get')], 3);
    assert.equal(statistics.failed[index('get')], 1);
    assert.equal(statistics.commandsProcessed, 3);
    assert.equal(client.session.commandCount, 3);
    assert.match(client.ask('info commandstats'), /cmdstat_dure.with:calls=3,.*/);
  });

  it('asks for the password like any other command, and tells strangers nothing', () => {
    const node = new PolicyNode();
    const { facts, dispatcher } = fakeServer(node);
    facts.password = 'secret';
    const stranger = new FakeClient(dispatcher, facts);
    for (const line of ['dure.with PC/EC do get k', 'dure.with r=1 w=9 do get k', 'dure.with x y z']) {
      assert.match(stranger.ask(line), /^-NOAUTH/, line);
    }
    assert.deepEqual(node.seen, []);
    assert.equal(stranger.ask('auth secret'), '+OK|');
    assert.equal(stranger.ask('dure.with PC/EC do get k'), '$-1|');
  });

  it('is silent where the client asked for silence', () => {
    const { client } = fakeServer(new PolicyNode());
    assert.equal(client.ask('client reply skip'), 'silence');
    assert.equal(client.ask('dure.with PC/EC do set k v'), 'silence');
    assert.equal(client.ask('client reply skip'), 'silence');
    assert.equal(client.ask('dure.with nonsense do set k v'), 'silence');
    assert.equal(client.ask('dure.with PC/EC do get k'), '$1|v|');
  });

  it('tells the keys of the command to clients that ask', () => {
    const { client } = fakeServer(new PolicyNode());
    assert.equal(client.ask('command getkeys dure.with PC/EC do get k'), '*1|$1|k|');
    assert.equal(client.ask('command getkeys dure.with R=1 W=3 do mset a 1 b 2'), '*2|$1|a|$1|b|');
    assert.equal(
      client.ask('command getkeys dure.with PC/EC get k'),
      '-ERR Invalid number of arguments specified for command|',
    );
    assert.equal(
      client.ask('command getkeys dure.with PC/EC do'),
      '-ERR Invalid number of arguments specified for command|',
    );
    assert.equal(
      client.ask('command getkeys dure.with PC/EC do dure.with PC/EC do get k'),
      '-ERR Invalid command specified|',
    );
    assert.equal(
      client.ask('command getkeys dure.with PC/EC do dbsize'),
      '-ERR The command has no key arguments|',
    );
    assert.equal(
      client.ask('command getkeys dure.with PC/EC do nonsense k'),
      '-ERR Invalid command specified|',
    );
    assert.match(client.ask('command info dure.with'), /movablekeys.*unknown.*unknown/s);
    assert.match(client.ask('command docs dure.with'), /Execute one command under a policy of its own/);
    client.ask('hello 3');
    assert.match(client.ask('command info dure.with'), /movablekeys.*unknown.*unknown/s);
    assert.equal(client.ask('dure.with PC/EC do get none'), '_|', 'RESP3');
  });
});
