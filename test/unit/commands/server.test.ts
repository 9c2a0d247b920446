import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { utf8Text } from '../../../src/base/bytes.ts';
import { integerSetting, memoryBytesOf } from '../../../src/commands/settings.ts';
import type { MapReply, RespValue, VerbatimReply } from '../../../src/resp/value.ts';
import { FakeClient, fakeServer, showReply } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';
import { Statuses } from '../../support/statuses.ts';

function textOf(reply: string): string {
  return reply.slice(reply.indexOf('|') + 1).replaceAll('|', '\n');
}

describe('connection and server commands', () => {
  it('HELLO tells what clients look for', () => {
    const { client } = fakeServer(new FakeNode());
    assert.equal(
      client.ask('hello 3'),
      '%7|$6|server|$5|redis|$7|version|$5|7.2.4|$5|proto|:3|$2|id|:1|$4|mode|$7|cluster|$4|role|$6|master|$7|modules|*0|',
    );
    assert.equal(client.ask('hello 4'), '-NOPROTO unsupported protocol version|');
    assert.equal(client.ask('hello x'), '-ERR Protocol version is not an integer or out of range|');
    assert.equal(client.ask('hello 2 foo'), "-ERR Syntax error in HELLO option 'foo'|");
    assert.equal(client.session.protocol, 3);
  });

  it('AUTH without a password configured', () => {
    const { client } = fakeServer(new FakeNode());
    assert.match(client.ask('auth x'), /^-ERR AUTH <password> called without any password configured/);
    assert.equal(client.ask('auth default x'), '+OK|');
    assert.match(client.ask('auth nobody x'), /^-WRONGPASS/);
  });

  it('TIME has seconds and microseconds', () => {
    const node = new FakeNode();
    node.now = 1_700_000_000_123;
    assert.equal(fakeServer(node).client.ask('time'), '*2|$10|1700000000|$6|123000|');
  });

  it('CLIENT LIST shows and KILL ends connections', () => {
    const node = new FakeNode();
    const { client, dispatcher, facts } = fakeServer(node);
    const other = new FakeClient(dispatcher, facts);
    other.ask('client setname worker');
    other.ask('client setinfo lib-name test(1.0)');
    node.now += 5000;
    const list = client.send(['client', 'list']).reply as VerbatimReply;
    const lines = utf8Text(list.bytes).trim().split('\n');
    assert.equal(lines.length, 2);
    assert.match(
      lines[1]!,
      /^id=2 addr=127.0.0.1:50002 laddr=127.0.0.1:6371 name=worker age=5 idle=5 flags=N /,
    );
    assert.match(lines[1]!, / cmd=client\|setinfo user=default resp=2 lib-name=test\(1\.0\) /);
    assert.equal(client.ask('client kill 1.2.3.4:5'), '-ERR No such client|');
    assert.equal(client.ask('client kill addr 127.0.0.1:50002'), ':1|');
    assert.deepEqual(other.closes, ['at-once']);
    assert.equal(client.ask('client kill id 1'), ':0|', 'not oneself');
    assert.equal(client.ask('client kill id 1 skipme no'), ':1|');
    assert.deepEqual(client.closes, ['after-replies']);
    assert.equal(
      client.ask('client setname a\nb'),
      '-ERR Client names cannot contain spaces, newlines or special characters.|',
    );
  });

  it('CONFIG GET matches patterns, SET changes all or nothing', () => {
    const { client, facts } = fakeServer(new FakeNode());
    let timeout = 0;
    let clients = 100;
    facts.settings = [
      integerSetting(
        'timeout',
        [0, 1000],
        () => timeout,
        (value) => (timeout = value),
      ),
      integerSetting(
        'maxclients',
        [1, 1000],
        () => clients,
        (value) => (clients = value),
      ),
      { name: 'databases', get: () => '1' },
    ];
    assert.equal(client.ask('config get MAX* time*'), '*4|$7|timeout|$1|0|$10|maxclients|$3|100|');
    assert.match(
      client.ask('config set timeout 5 maxclients 0'),
      /argument 'maxclients'\) - argument must be between 1 and 1000 inclusive/,
    );
    assert.equal(timeout, 0);
    assert.equal(client.ask('config set timeout 5 maxclients 7'), '+OK|');
    assert.deepEqual([timeout, clients], [5, 7]);
    assert.match(client.ask('config set databases 2'), /can't set immutable config/);
    assert.match(
      client.ask('config set nosuch 2'),
      /^-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'/,
    );
    assert.deepEqual(['100mb', '1k', '5', '1x', ''].map(memoryBytesOf), [
      104857600,
      1000,
      5,
      undefined,
      undefined,
    ]);
  });

  it('INFO has sections that tools read', () => {
    const { client } = fakeServer(new FakeNode());
    client.ask('set a 1');
    const all = textOf(client.ask('info'));
    for (const field of [
      'redis_version:7.2.4',
      'connected_clients:1',
      'used_memory:1572864',
      'role:master',
      'cluster_enabled:1',
      'loading:0',
      'dure_members_live:3',
    ]) {
      assert.ok(all.includes(`\n${field}\n`), field);
    }
    assert.ok(!all.includes('# Keyspace') && !all.includes('# Commandstats'));
    assert.match(textOf(client.ask('info keyspace')), /# Keyspace\ndb0:keys=1,subexpiry=0\n/);
    assert.match(
      textOf(client.ask('info commandstats')),
      /cmdstat_set:calls=1,usec=\d+,usec_per_call=[\d.]+,rejected_calls=0,failed_calls=0/,
    );
    assert.match(textOf(client.ask('info everything')), /# Commandstats[\s\S]*# Keyspace/);
    assert.equal(client.ask('info nosuch'), '$0||');
  });

  it('INFO tells of the cluster in sections that scripts take apart, and field names stay', () => {
    const node = new FakeNode();
    node.dead.add('n3');
    node.statusParts = {
      differenceAgeMs: (member) => (member.id === 'n2' ? 1500 : 0),
      hints: {
        count: 7,
        bytes: 700,
        unreadable: 2,
        loading: false,
        bytesMax: 1000,
        oldestAgeMs: 2500.4,
        delivered: 3,
        targets: [
          {
            target: 'n3',
            count: 7,
            bytes: 700,
            oldestAgeMs: 2500.4,
            state: 'waiting',
            delivered: 3,
            rowsPerSecond: 0,
          },
        ],
      },
      horizon: { ageMs: 9.6, held: 1, heldBy: 'n3', reason: 'it is away', raised: 4, abandoned: 2 },
      siblings: {
        ...new Statuses().of('n1').siblings,
        refused: 2,
        refusedAgoMs: 90_000,
        refusedPrefix: 'cart:',
      },
    };
    const { client } = fakeServer(node);
    const section = (name: string): string => textOf(client.ask(`info ${name}`)).trimEnd();
    assert.match(
      section('replication'),
      /^# Replication\nrole:master\n[\s\S]*\ndure_verdict:degraded\ndure_settled:0\n[\s\S]*\ndure_lag_ms_max:2500\ndure_lag0:id=n2,state=alive,reachable=1,lag_ms=1500\ndure_lag1:id=n3,state=down,reachable=0,lag_ms=2500$/,
    );
    const membership = section('membership');
    assert.match(
      membership,
      /^# Membership\nmembers:3\nmembers_alive:2\nmembers_suspect:0\nmembers_down:1\nmembers_reachable:2\n/,
    );
    assert.match(
      membership,
      /\nmember2:id=n3,zone=z,status=down,reachable=0,phi=[\d.]+,incarnation=\d+,silence_ms=5000,/,
    );
    assert.equal(
      section('hints'),
      '# Hints\nhints:7\nhints_bytes:700\nhints_unreadable:2\nhints_bytes_max:1000\nhints_oldest_ms:2500\nhints_delivered:3\n' +
        'hints_target0:id=n3,state=waiting,count=7,bytes=700,oldest_ms=2500,delivered=3,rows_per_sec=0',
    );
    assert.match(
      section('horizon'),
      /^# Horizon\nhorizon_age_ms:10\n[\s\S]*horizon_held:1\nhorizon_held_by:n3\n/,
    );
    assert.equal(
      section('siblings'),
      '# Siblings\nsiblings_reads:12\nsiblings_writes:40\nsiblings_refused:2\nsiblings_refused_ago_ms:90000\n' +
        'siblings_refused_prefix:cart:\nsiblings_values_max:32\nsiblings_values_most:3\nsiblings_values_most_prefix:cart:\n' +
        'siblings_vector_entries_most:3\nsiblings_row_bytes_most:700',
    );
    assert.equal(section('repair'), '# Repair', 'what a node does not have it does not make up');
    const all = textOf(client.ask('info'));
    for (const title of ['Replication', 'Membership', 'Hints', 'Repair', 'Horizon', 'Siblings'])
      assert.ok(all.includes(`# ${title}\n`), title);
  });

  it('COMMAND counts, lists and finds keys', () => {
    const { client, dispatcher } = fakeServer(new FakeNode());
    const { table } = dispatcher.context;
    assert.equal(client.ask('command count'), `:${table.commands.length}|`);
    assert.equal((client.send(['command']).reply as RespValue[]).length, table.commands.length);
    assert.equal((client.send(['command', 'list']).reply as RespValue[]).length, table.commands.length);
    assert.equal(client.ask('command info nosuch'), '*1|*-1|');
    assert.equal(client.ask('command getkeys mset a 1 b 2'), '*2|$1|a|$1|b|');
    assert.equal(client.ask('command getkeys echo x'), '-ERR The command has no key arguments|');
    assert.equal((client.send(['command', 'docs']).reply as MapReply).pairs.length, table.commands.length);
    assert.match(client.ask('client help'), /^\*\d+\|\+CLIENT <subcommand>/);
  });
});

describe('WAIT', () => {
  it('says how many replicas hold the writes', () => {
    const node = new FakeNode();
    const { client, facts } = fakeServer(node);
    assert.equal(client.ask('wait 0 0'), ':2|');
    const progress = { acknowledgements: 2, settled: false };
    node.progress = () => progress;
    client.ask('set a 1');
    assert.equal(client.ask('wait 1 100'), ':1|');
    client.ask('set a 2');
    const waiting = client.send(['wait', '2', '100']);
    assert.equal(waiting.pending, true);
    assert.equal(client.session.blocked, true);
    facts.tick();
    assert.equal(waiting.pending, true);
    progress.acknowledgements = 3;
    facts.tick();
    assert.equal(showReply(waiting.reply), ':2|');
    assert.equal(client.session.blocked, false);
  });

  it('ends at its timeout, when nothing more can come, and when the client is gone', () => {
    const node = new FakeNode();
    const { client, facts } = fakeServer(node);
    const progress = { acknowledgements: 1, settled: false };
    node.progress = () => progress;
    client.ask('set a 1');
    const first = client.send(['wait', '2', '50']);
    node.now += 50;
    facts.tick();
    assert.equal(showReply(first.reply), ':0|');
    client.ask('set a 1');
    const second = client.send(['wait', '2', '0']);
    progress.settled = true;
    facts.tick();
    assert.equal(showReply(second.reply), ':0|');
    progress.settled = false;
    client.ask('set a 1');
    const third = client.send(['wait', '2', '0']);
    client.session.closed = true;
    facts.tick();
    assert.equal(third.pending, false);
    assert.deepEqual(facts.checks, []);
  });

  it('remembers the least of very many writes without keeping them', () => {
    const node = new FakeNode();
    const { client } = fakeServer(node);
    node.progress = () => ({ acknowledgements: 2, settled: true });
    client.ask('set a 1');
    node.progress = () => ({ acknowledgements: 3, settled: true });
    for (let i = 0; i < 1000; i++) client.ask('set a 1');
    assert.equal(client.ask('wait 0 0'), ':1|');
    client.ask('set a 1');
    assert.equal(client.ask('wait 0 0'), ':2|', 'a new count after an answer');
  });
});

describe('CLUSTER', () => {
  const slotsOf = (client: FakeClient): readonly (readonly RespValue[])[] =>
    client.send(['cluster', 'slots']).reply as readonly (readonly RespValue[])[];

  it('SLOTS covers every slot once, in order, with different nodes', () => {
    const node = new FakeNode(5);
    let next = 0;
    for (const [from, to, ...nodes] of slotsOf(fakeServer(node).client)) {
      assert.equal(from, next);
      next = (to as number) + 1;
      const ports = nodes.map((entry) => (entry as readonly RespValue[])[1]);
      const expected = node.table.preferenceList(from as number).map((id) => 6370 + Number(id.slice(1)));
      assert.deepEqual(ports, expected);
    }
    assert.equal(next, 16384);
  });

  it('never shows a dead node as the place to go', () => {
    const node = new FakeNode(3);
    node.dead.add('n2');
    const { client } = fakeServer(node);
    for (const [, , ...nodes] of slotsOf(client)) {
      assert.deepEqual(nodes.map((entry) => (entry as readonly RespValue[])[1]).includes(6372), false);
      assert.equal(nodes.length, 2);
    }
    const lines = textOf(client.ask('cluster nodes')).trim().split('\n');
    assert.equal(lines.length, 3);
    assert.match(lines[0]!, /^[0-9a-f]{40} 127\.0\.0\.1:6371@7371 myself,master - 0 0 1 connected \d+/);
    assert.match(lines[1]!, /^[0-9a-f]{40} 127\.0\.0\.1:6372@7372 master,fail - 0 \d+ 1 disconnected$/);
    assert.match(textOf(client.ask('cluster info')), /cluster_state:ok\ncluster_slots_assigned:16384\n/);
    assert.match(textOf(client.ask('cluster info')), /cluster_slots_ok:16384\n/);
    node.dead.add('n3');
    assert.match(textOf(client.ask('cluster info')), /cluster_state:fail/, 'one live replica is no quorum');
    assert.match(textOf(client.ask('cluster info')), /cluster_slots_ok:0\n/);
    assert.match(textOf(client.ask('cluster info')), /cluster_slots_fail:16384\n/);
  });

  it('shows members without a Redis port for no slot; where no replica has one, those that have', () => {
    const node = new FakeNode(5);
    const all = node.members.bind(node);
    node.members = () =>
      all().map((member) => (member.id === 'n1' || member.id === 'n4' ? member : { ...member, respPort: 0 }));
    const { client } = fakeServer(node);
    for (const [from, , ...nodes] of slotsOf(client)) {
      const ports = nodes.map((entry) => (entry as readonly RespValue[])[1]);
      const listed = node.table.preferenceList(from as number).filter((id) => id === 'n1' || id === 'n4');
      const expected = listed.length > 0 ? listed : ['n1', 'n4'];
      assert.deepEqual(
        ports,
        expected.map((id) => 6370 + Number(id.slice(1))),
      );
    }
    const lines = textOf(client.ask('cluster nodes')).trim().split('\n');
    assert.match(lines[1]!, / 127\.0\.0\.1:0@7372 master,noaddr - /);
  });

  it('NODES gives each slot to one master, and ids agree everywhere', () => {
    const node = new FakeNode(4);
    const { client } = fakeServer(node);
    const owners = new Array<string>(16384);
    for (const line of textOf(client.ask('cluster nodes')).trim().split('\n')) {
      const [id, , , , , , , , ...ranges] = line.split(' ');
      for (const range of ranges) {
        const [from, to] = range.split('-').map(Number) as [number, number | undefined];
        for (let slot = from; slot <= (to ?? from); slot++) {
          assert.equal(owners[slot], undefined);
          owners[slot] = id!;
        }
      }
    }
    for (const [from, to, master] of slotsOf(client)) {
      for (let slot = from as number; slot <= (to as number); slot++) {
        assert.equal(owners[slot], (master as readonly RespValue[])[2]);
      }
    }
    assert.equal(client.ask('cluster myid'), `$40|${node.idHex}|`);
    const shards = client.send(['cluster', 'shards']).reply as readonly MapReply[];
    const covered = shards.flatMap((shard) => shard.pairs[0]![1] as number[]);
    let count = 0;
    for (let i = 0; i < covered.length; i += 2) count += covered[i + 1]! - covered[i]! + 1;
    assert.equal(count, 16384);
    assert.equal(client.ask('cluster keyslot foo'), ':12182|');
  });
});
