/**
 * The commands against the real thing: thousands of random commands, many of them wrong, go to a
 * `redis-server` and to the dispatcher over a one-map node, or to a cluster of three processes, and the
 * replies must be equal, texts of errors included. What may differ is listed here, with the reason, and in
 * docs/commands.md.
 *
 * DURE_DIFFERENTIAL_SEEDS="1 2 3" chooses the seeds.
 */

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { byteString, utf8Bytes } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { choiceSetting, fixedSetting, integerSetting, memorySetting } from '../../src/commands/settings.ts';
import { ReplyParser } from '../../src/resp/reply-parser.ts';
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  type RespValue,
  SetReply,
  SimpleString,
  VerbatimReply,
} from '../../src/resp/value.ts';
import { TestCluster } from '../support/cluster.ts';
import { encoded, type FakeClient, fakeServer } from '../support/fake-facts.ts';
import { FakeNode } from '../support/fake-node.ts';
import { freePortBase } from '../support/ports.ts';
import { Started } from '../support/process.ts';
import { RandomCommands } from '../support/random-commands.ts';
import { skipWithout } from '../support/tools.ts';

const skip = skipWithout('redis-server');

/** A connection to the real server: one command, one reply. */
class RedisClient {
  readonly #socket: Socket;
  readonly #parser = new ReplyParser();
  #waiting: { resolve: (reply: RespValue) => void; reject: (error: Error) => void } | undefined;

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.on('data', (chunk) => {
      this.#parser.push(chunk);
      const reply = this.#parser.next();
      if (reply === undefined) return;
      const waiting = this.#waiting;
      this.#waiting = undefined;
      this.last = reply;
      waiting?.resolve(reply);
    });
    const lost = (): void => this.#waiting?.reject(new Error('redis-server closed the connection'));
    this.#socket.on('error', lost).on('close', lost);
  }

  /** The reply to the last command. */
  last: RespValue = null;

  ask(args: readonly string[]): Promise<RespValue> {
    const bulks = args.map((arg) => `$${utf8Bytes(arg).length}\r\n${arg}\r\n`);
    this.#socket.write(utf8Bytes(`*${args.length}\r\n${bulks.join('')}`));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  end(): void {
    this.#socket.destroy();
  }
}

/** A reply in one line, with its types. */
function show(reply: RespValue): string {
  if (reply instanceof Uint8Array) return JSON.stringify(byteString(reply));
  if (reply instanceof ErrorReply) return `-${reply.text}`;
  if (reply instanceof SimpleString) return `+${reply.text}`;
  if (reply instanceof DoubleReply) return `,${reply.value}`;
  if (reply instanceof VerbatimReply) return `=${byteString(reply.bytes)}`;
  if (reply instanceof MapReply)
    return `%{${reply.pairs.map(([k, v]) => `${show(k)}: ${show(v)}`).join(', ')}}`;
  if (reply instanceof SetReply) return `~(${reply.items.map(show).join(', ')})`;
  if (Array.isArray(reply)) return `[${reply.map(show).join(', ')}]`;
  return String(reply);
}

const versioned = ['hello', 'client', 'command', 'memory', 'config'];

/** A reply made comparable: what may differ is replaced by a word. */
function comparable(args: readonly string[], reply: RespValue): string {
  const name = args[0]!.toLowerCase();
  const isError = reply instanceof ErrorReply;
  // The clocks of the two differ by the time of a round trip.
  if (/^p?(ttl|expiretime)$/.test(name) && typeof reply === 'number' && reply > 0) {
    return `about ${Math.round(reply / (name.startsWith('p') ? 10_000 : 10))}`;
  }
  // Order of keys is not defined.
  if (name === 'keys' && Array.isArray(reply)) return show(reply.map((key) => show(key)).sort());
  if (name === 'scan' && Array.isArray(reply)) {
    // Cursors are each one's own business: whole walks are compared, the others only for their errors.
    if ((args[1] !== '0' && args[1] !== '') || !args.includes('1000')) return 'a page';
    return show((reply[1] as readonly RespValue[]).map((key) => show(key)).sort());
  }
  // A string grown by APPEND stays `raw` in Redis, even `10`; Dure tells from the value alone.
  if (name === 'object' && reply instanceof Uint8Array) return 'an encoding';
  // Small integers are shared objects in Redis.
  if (name === 'object' && typeof reply === 'number') return 'a number';
  // What describes the server itself: only whether it is an error, and which.
  if (versioned.includes(name) && !isError && reply !== null && !isGetKeys(args)) return 'something';
  return show(reply);
}

function isGetKeys(args: readonly string[]): boolean {
  return args[0]!.toLowerCase() === 'command' && args[1]!.toLowerCase() === 'getkeys';
}

/** Differences that are meant, each with its reason. */
const allowed: readonly {
  reason: string;
  test: (args: readonly string[], theirs: string, ours: string) => boolean;
}[] = [
  {
    reason: 'cluster commands work without switching anything on',
    test: (args, theirs) =>
      args[0]!.toLowerCase() === 'cluster' && theirs.includes('cluster support disabled'),
  },
  {
    reason: 'Redis takes a negative cursor for a large one',
    test: (args, _, ours) =>
      args[0]!.toLowerCase() === 'scan' && args[1] === '-1' && ours === '-ERR invalid cursor',
  },
  {
    reason: 'Redis counts expired keys until it has removed them',
    test: (args, theirs, ours) => args[0]!.toLowerCase() === 'dbsize' && Number(ours) < Number(theirs),
  },
  {
    reason: 'Redis measures expired keys until it has removed them',
    test: (args, _, ours) => args[0]!.toLowerCase() === 'memory' && ours === 'null',
  },
  {
    reason: 'the real server has no replicas',
    test: (args, theirs, ours) =>
      args[0]!.toLowerCase() === 'wait' && theirs === '0' && ['1', '2'].includes(ours),
  },
  {
    reason: 'a command that Redis has and Dure has not',
    test: (_, theirs, ours) =>
      ours.startsWith('-ERR unknown subcommand') && !theirs.startsWith('-ERR unknown'),
  },
];

/** Whose arguments are told otherwise than in Redis 7.0, which is vague there. */
const rewritten = new Set(['client|kill', 'command|getkeys', 'flushall', 'flushdb']);

/** What COMMAND INFO tells, without tips, notes and subcommands; the container's flags tell nothing. */
function showInfo(info: RespValue): string {
  const [name, arity, flags, first, last, step, categories, , specs] = info as readonly RespValue[];
  const uses = (specs as SetReply).items.map((spec) =>
    show(new MapReply((spec as MapReply).pairs.filter(([key]) => show(key) !== '"notes"'))),
  );
  return [name!, arity!, sorted(flags!), first!, last!, step!, sorted(categories!)]
    .map((part) => (typeof part === 'string' ? part : show(part)))
    .concat(uses)
    .join(' ');
}

function sorted(set: RespValue): string {
  return (set as SetReply).items.map(show).sort().join(' ');
}

/** Names, types, tokens and flags of all arguments in COMMAND DOCS. */
function shapeOf(docs: MapReply): string {
  const text: string[] = [];
  const visit = (value: RespValue): void => {
    if (value instanceof MapReply) {
      for (const [key, inner] of value.pairs) {
        const name = show(key);
        if (name === '"arguments"') (inner as readonly RespValue[]).forEach(visit);
        else if (['"name"', '"type"', '"token"', '"flags"'].includes(name))
          text.push(show(inner).replace(/^~\((.*)\)$/, '[$1]'));
      }
    }
  };
  for (const [, doc] of docs.pairs) visit(doc);
  return text.join(' ');
}

type Ask = (args: readonly string[]) => RespValue | Promise<RespValue>;

/** Gives `count` commands to both; fails with the differences. Answers which commands were compared. */
async function compare(redis: RedisClient, dure: Ask, seed: number, count: number): Promise<Set<string>> {
  const commands = new RandomCommands(new Prng(seed));
  const differences: string[] = [];
  const seen = new Set<string>();
  for (const clear of ['RESET', 'FLUSHALL']) {
    await redis.ask([clear]);
    await dure([clear]);
  }
  for (let i = 0; i < count; i++) {
    const args = commands.next();
    const theirs = comparable(args, await redis.ask(args));
    const ours = comparable(args, await dure(args));
    seen.add(args[0]!.toLowerCase());
    if (theirs !== ours && !allowed.some(({ test }) => test(args, theirs, ours))) {
      differences.push(`#${i} ${JSON.stringify(args)}\n  redis ${theirs}\n  dure  ${ours}`);
    }
  }
  const shown = differences.slice(0, 20).join('\n');
  assert.equal(differences.length, 0, `${differences.length} differences, seed ${seed}:\n${shown}`);
  return seen;
}

/** The dispatcher over one map, on the clock of this machine. */
function onOneMap(): Ask {
  const node = new FakeNode(3, 1024 ** 3);
  node.idle = 0;
  const { client, facts } = fakeServer(node);
  facts.settings = [
    memorySetting(
      'auto-aof-rewrite-min-size',
      () => 0,
      () => undefined,
    ),
    integerSetting(
      'timeout',
      [0, 2 ** 31 - 1],
      () => 0,
      () => undefined,
    ),
    choiceSetting(
      'appendfsync',
      ['everysec', 'always', 'no'],
      () => 'no',
      () => undefined,
    ),
    fixedSetting('databases', () => '1'),
  ];
  return (args) => {
    node.now = Date.now();
    return oursOf(client, args);
  };
}

/** Commands that tell of the node itself, or change how it runs: not for nodes that are not all alike. */
const ofTheNode = ['hello', 'client', 'config', 'auth', 'select', 'memory'];

/** A cluster of processes, asked at another node each time. */
function onCluster(clients: readonly RedisClient[], redis: RedisClient, seed: number): Ask {
  const random = new Prng(seed);
  return async (args) => {
    if (args[0] === 'RESET') for (const client of clients) await client.ask(args);
    const name = args[0]!.toLowerCase();
    // A disk engine does not know when a row was used last; the limit of a pair is lower.
    const isOther = ofTheNode.includes(name) || (name === 'object' && args[1]?.toLowerCase() === 'idletime');
    return isOther ? redis.last : random.pick(clients).ask(args);
  };
}

/** Encoded and read back, so that both come through the same parser. */
function oursOf(client: FakeClient, args: readonly string[]): RespValue {
  const answer = client.send(args);
  assert.equal(answer.pending, false, `answered at once: ${args.join(' ')}`);
  const parser = new ReplyParser();
  parser.push(encoded(answer.reply!, client.session.protocol));
  return parser.next()!;
}

describe('random commands get the replies of redis-server', { skip }, () => {
  let server: Started;
  let directory: string;
  let redis: RedisClient;

  before(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'dure-redis-'));
    const port = await freePortBase(1);
    server = new Started([
      'redis-server',
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', directory],
      ...['--save', '', '--databases', '1', '--daemonize', 'no'],
    ]);
    await server.says(/Ready to accept connections/);
    redis = new RedisClient(port);
  });

  after(async () => {
    redis?.end();
    await server?.end('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  });

  it('COMMAND says the same of every command that both have', async () => {
    const { client, dispatcher } = fakeServer(new FakeNode());
    await redis.ask(['HELLO', '3']);
    client.ask('HELLO 3');
    let compared = 0;
    for (const command of dispatcher.context.table.all) {
      const args = ['COMMAND', 'INFO', command.fullName];
      const theirs = (await redis.ask(args)) as readonly RespValue[];
      const ours = oursOf(client, args) as readonly RespValue[];
      const docs = ['COMMAND', 'DOCS', command.fullName];
      const theirArguments = shapeOf((await redis.ask(docs)) as MapReply);
      if (theirs[0] === null || theirs[0] === undefined || show(theirs[0]!) === 'null') continue;
      assert.equal(showInfo(ours[0]!), showInfo(theirs[0]!), command.fullName);
      if (!rewritten.has(command.fullName)) {
        assert.equal(shapeOf(oursOf(client, docs) as MapReply), theirArguments, command.fullName);
      }
      compared++;
    }
    await redis.ask(['RESET']);
    assert.ok(compared > 90, `${compared} commands were compared`);
  });

  const seeds = (process.env.DURE_DIFFERENTIAL_SEEDS ?? '1 2 3 4 5').split(' ').map(Number);
  for (const seed of seeds) {
    it(`over one map, seed ${seed}`, async () => {
      const seen = await compare(redis, onOneMap(), seed, 4000);
      assert.ok(seen.size > 40, 'many different commands were compared');
    });
  }

  it('over three processes, each command at any of them', async () => {
    const cluster = await TestCluster.start();
    const clients = [0, 1, 2].map((index) => new RedisClient(cluster.port + index));
    try {
      await compare(redis, onCluster(clients, redis, 1), 1, 2500);
    } finally {
      for (const client of clients) client.end();
      await cluster.close();
    }
  });
});
