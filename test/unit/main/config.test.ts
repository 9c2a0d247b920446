import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { loadConfig, type NodeConfig, problemLines } from '../../../src/main/config.ts';
import { SETTINGS } from '../../../src/main/config-schema.ts';
import type { Sources } from '../../../src/main/config-sources.ts';

const directory = mkdtempSync(join(tmpdir(), 'dure-config-'));
after(() => rmSync(directory, { recursive: true }));
let files = 0;

function file(text: string): string {
  const path = join(directory, `${files++}.yaml`);
  writeFileSync(path, text);
  return path;
}

function good(sources: Sources): NodeConfig {
  const { config, problems } = loadConfig(sources);
  assert.deepEqual(problems, []);
  return config!;
}

/** The problems as `where: message`, without the directory. */
function bad(sources: Sources): string[] {
  const { config, problems } = loadConfig(sources);
  assert.equal(config, undefined);
  return problems.map(({ where, message }) => `${where}: ${message}`.replaceAll(`${directory}/`, ''));
}

const three = `
members:
  - {id: n1, respPort: 6371, peerPort: 7371, httpPort: 8371}
  - {id: n2, respPort: 6372, peerPort: 7372, httpPort: 8372, zone: b}
  - {id: n3, respPort: 6373, peerPort: 7373, httpPort: 8373, weight: 2}
`;

describe('configuration', () => {
  it('has a default for everything: one node alone', () => {
    const config = good({});
    assert.equal(config.nodeId, 'n1');
    assert.deepEqual(config.self, {
      id: 'n1',
      host: '127.0.0.1',
      respPort: 6371,
      peerPort: 7371,
      httpPort: 8371,
      zone: 'default',
      weight: 1,
    });
    assert.deepEqual(config.members, [config.self]);
    assert.deepEqual(config.policy, { r: 2, w: 2, strict: false });
    assert.equal(config.storage.engine, 'classic-level');
    assert.equal(config.bind, '127.0.0.1');
  });

  it('takes settings from a program, and port 0 for no port', () => {
    const alone = good({
      values: { nodeId: 'a', ports: { resp: 0, peer: 0, http: 0 }, storage: { engine: 'memory' } },
    });
    const { respPort, peerPort, httpPort } = alone.self;
    assert.deepEqual([respPort, peerPort, httpPort], [0, 0, 0]);
    assert.equal(good({ values: { ports: { resp: 0 } } }).self.peerPort, 7371, 'the default');
    const members = ['a', 'b'].map((id, i) => ({ id, respPort: 0, httpPort: 0, peerPort: 7001 + i }));
    assert.equal(good({ values: { nodeId: 'b', members } }).self.peerPort, 7002, 'no port clashes with none');
    const portless = members.map((member) => ({ ...member, peerPort: 0 }));
    const [first] = bad({ values: { nodeId: 'b', members: portless } });
    assert.match(first!, /members\[0\]\.peerPort: expected a port, 1 to 65535; found 0/);
  });

  it('reads a file, with units, and finds the node among the members', () => {
    const config = good({
      file: file(`nodeId: n2
clusterName: farm
dataDir: data
${three}
policy: PC/EC
policies:
  - {prefix: "cache:", policy: PA/EL}
  - {prefix: "é:", r: 1, w: 3, quorum: strict}
storage: {engine: memory, memoryBytesMax: 64mb, evictionPolicy: lru, syncIntervalMs: 2s}
limits: {requestTimeoutMs: 250ms, pairBytesMax: 1MiB}
password:
`),
    });
    assert.equal(config.self.respPort, 6372);
    assert.equal(config.dataDir, join(directory, 'data'));
    assert.deepEqual(config.policy, { r: 2, w: 2, strict: true });
    assert.deepEqual(config.policies, [
      { prefix: 'cache:', policy: { r: 1, w: 1, strict: false } },
      { prefix: '\xc3\xa9:', policy: { r: 1, w: 3, strict: true } },
    ]);
    assert.equal(config.storage.memoryBytesMax, 64 * 1024 * 1024);
    assert.equal(config.storage.syncIntervalMs, 2000);
    assert.equal(config.limits.requestTimeoutMs, 250);
    assert.equal(config.limits.pairBytesMax, 1024 * 1024);
    assert.equal(config.password, undefined);
  });

  it('prefers a flag over a variable over the file over the default', () => {
    const path = file('storage: {engine: memory, durability: always, cacheBytes: 8MiB}\nclusterName: one\n');
    const config = good({
      file: path,
      environment: { DURE_STORAGE_DURABILITY: 'interval', DURE_STORAGE_CACHE_BYTES: '16MiB' },
      flags: new Map([['storage-cache-bytes', '32MiB']]),
    });
    assert.equal(config.storage.engine, 'memory');
    assert.equal(config.storage.durability, 'interval');
    assert.equal(config.storage.cacheBytes, 32 * 1024 * 1024);
    assert.equal(config.clusterName, 'one');
  });

  it('takes every setting as a flag and as a variable', () => {
    const texts: Readonly<Record<string, string>> = {
      nodeId: 'n7',
      clusterName: '0123',
      dataDir: '/x',
      host: 'localhost',
      bind: '::1',
      'ports.resp': '1',
      'ports.peer': '2',
      'ports.http': '3',
      members: '[{id: n7, host: localhost, respPort: 1, peerPort: 2, httpPort: 3}]',
      partitions: '64',
      replicas: '5',
      protocolVersionMax: '4',
      policy: '{r: 1, w: 1, quorum: strict}',
      policies: '[{prefix: a, policy: PA/EL}]',
      'storage.engine': 'memory',
      'storage.durability': 'always',
      'storage.evictionPolicy': 'lfu',
      'storage.memoryBytesMax': '1GiB',
      password: '1234',
      'http.api': 'false',
      'http.hosts': 'dure.example, kv.internal',
      'http.origins': 'https://admin.example',
      'log.level': 'warn',
      'log.format': 'json',
      join: 'http://10.0.0.1:8371, n2.farm:8372/,http://[::1]:08373',
      zone: 'default',
      weight: '1',
      'limits.hedgeShareMax': '0.5',
      'limits.repairShareMax': '0.5',
      'limits.horizonMarginMs': '30s',
      'limits.horizonAlarmMs': '1m',
      'limits.handoffBytesPerSecond': '5MiB',
      'limits.moveBytesPerSecond': '5MiB',
      'limits.outputBytesSoft': '2MiB',
      'limits.outputBytesHard': '4MiB',
    };
    const of = (path: string): string =>
      texts[path] ??
      (path.endsWith('Ms') ? '3s' : path.endsWith('BytesMax') || path.startsWith('storage') ? '5MiB' : '700');
    const asFlags = new Map(SETTINGS.map((info) => [info.flag, of(info.path)]));
    asFlags.set('limits-heartbeat-interval-ms', '300');
    const byFlags = good({ flags: asFlags });
    const asVariables = Object.fromEntries(SETTINGS.map((info) => [info.variable, asFlags.get(info.flag)]));
    const byVariables = good({ environment: asVariables });
    assert.deepEqual(byFlags, byVariables);
    assert.equal(byFlags.clusterName, '0123');
    assert.equal(byFlags.password, '1234');
    assert.deepEqual(byFlags.join, ['10.0.0.1:8371', 'n2.farm:8372', '[::1]:8373']);
    assert.deepEqual(byFlags.policy, { r: 1, w: 1, strict: true });
    assert.deepEqual(byFlags.http, {
      api: false,
      hosts: ['dure.example', 'kv.internal'],
      origins: ['https://admin.example'],
    });
    assert.equal(byFlags.limits.clientsMax, 700);
    assert.equal(byFlags.limits.heartbeatIntervalMs, 300);
    assert.equal(byFlags.storage.hotBytesMax, 5 * 1024 * 1024);
  });

  it('tells all problems at once, each with its place and what was expected', () => {
    const path = file(`nodeId: n9
clustrName: farm
storage:
  engine: rocks
  sync: 1
limits:
  pairBytesMax: lots
  requestTimeoutMs: -5
  silenceMaxMs: 210
ports: {resp: 70000}
partitions: 1000
policies:
  - {prefix: "a:", policy: PC/EX}
  - {policy: PC/EC}
  - {prefix: "b:", r: 0, w: 2}
log: loud
members:
  - {id: n1, respPort: 6371, peerPort: 7371, httpPort: 8371}
  - {id: n2, respPort: 6371, peerPort: 7372}
`);
    const problems = bad({
      file: path,
      environment: { DURE_REPLICAS: 'many' },
      flags: new Map([['log-level', 'x']]),
    });
    const expected = [
      /:2 clustrName: unknown key "clustrName"; did you mean "clusterName"\?/,
      /:4 storage.engine: expected one of classic-level, memory; found "rocks"/,
      /:5 storage.sync: unknown key "sync"/,
      /:7 limits.pairBytesMax: expected a size such as .*; found "lots"/,
      /:8 limits.requestTimeoutMs: expected a duration such as .*; found -5/,
      /:10 ports.resp: expected a port, 1 to 65535, or 0 for none; found 70000/,
      /:11 partitions: expected a power of two from 1 to 16384; found 1000/,
      /:13 policies\[0\]: expected PA\/EL, PA\/EC.*as in PA\/EC SIBLINGS TTL=30s.*; found "PC\/EX"/,
      /:14 policies\[1\]: expected \{prefix/,
      /:15 policies\[2\]: expected whole numbers from 1 for r and w/,
      /:19 members\[1\].httpPort: expected a port, 1 to 65535, or 0 for none; found nothing/,
      /^DURE_REPLICAS \(replicas\): expected a whole number from 1 to 15; found "many"/,
      /^--log-level \(log.level\): expected one of debug, info/,
    ];
    for (const words of expected) {
      assert.ok(
        problems.some((problem) => words.test(problem)),
        `${words} in\n${problems.join('\n')}`,
      );
    }
    assert.equal(problems.length, expected.length, problems.join('\n'));
  });

  it('shows what a list looks like where something else is written', () => {
    const problems = bad({ file: file('nodeId: n1\nmembers: n1\npolicies: "cart: PA/EC"\n') });
    assert.equal(problems.length, 2, problems.join('\n'));
    assert.match(problems[0]!, /members: expected a list such as \[\{id: n1, host: /);
    assert.match(problems[1]!, /policies: expected a list such as \[\{prefix: "cart:", policy: /);
  });

  it('reads what a policy says of conflicts and expiry, as text or as keys', () => {
    const config = good({
      file: file(`nodeId: n1
policy: PA/EC TTL=1h
policies:
  - {prefix: "carts:", policy: PA/EC SIBLINGS}
  - {prefix: "boxes:", policy: PA/EC, conflicts: siblings, siblingsRead: error, ttl: 30s}
  - {prefix: "bags:", r: 1, w: 1, quorum: strict, conflicts: last-write-wins, ttl: 2d}
members: [{id: n1, respPort: 1, peerPort: 2, httpPort: 3}, {id: n2, respPort: 4, peerPort: 5, httpPort: 6}]
`),
    });
    const sloppy = { r: 2, w: 2, strict: false };
    assert.deepEqual(config.policy, { ...sloppy, ttlMs: 3_600_000 });
    assert.deepEqual(config.policies, [
      { prefix: 'carts:', policy: { ...sloppy, conflicts: 'siblings' } },
      {
        prefix: 'boxes:',
        policy: { ...sloppy, conflicts: 'siblings', siblingsRead: 'error', ttlMs: 30_000 },
      },
      {
        prefix: 'bags:',
        policy: { r: 1, w: 1, strict: true, conflicts: 'last-write-wins', ttlMs: 172_800_000 },
      },
    ]);
    const problems = bad({
      file: file(`nodeId: n1
policies:
  - {prefix: a, policy: PA/EC, conflicts: keep}
  - {prefix: b, policy: PA/EC SIBLINGS TTL=5}
  - {prefix: c, policy: PA/EC, confl: siblings}
`),
    });
    for (const words of [
      /policies\[0\]: expected siblings or last-write-wins for conflicts; found "keep"/,
      /policies\[1\]: expected a time with its unit.*; found "TTL=5"/,
      /policies\[2\]: unknown key "confl"/,
    ]) {
      assert.ok(
        problems.some((problem) => words.test(problem)),
        `${words} in\n${problems.join('\n')}`,
      );
    }
    assert.match(
      bad({ file: file('nodeId: n1\npolicies: [{prefix: d, policy: PA/EC W=4}]\n') }).join(),
      /policies\[0\]: expected w from 1 to 3 .*; found 4/,
    );
  });

  it('checks policies against N, and tells where there are too few members for it yet', () => {
    const alone = 'nodeId: n1\npolicies: [{prefix: d, policy: PA/EC W=3}, {prefix: e, policy: PC/EC}]\n';
    const { config, warnings } = loadConfig({ file: file(alone) });
    assert.deepEqual(
      config?.policies.map(({ policy }) => policy),
      [
        { r: 2, w: 3, strict: false },
        { r: 2, w: 2, strict: true },
      ],
    );
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /policies\[0\]: w is 3 and there is 1 member: until there are more/);
    const joining = loadConfig({ file: file(`${alone}join: [127.0.0.1:8380]\n`) });
    assert.deepEqual(joining.problems, []);
    assert.deepEqual(joining.warnings, []);
  });

  it('checks what settings mean together', () => {
    const problems = bad({
      file: file(`nodeId: n4
${three}  - {id: n3, respPort: 6371, peerPort: 7374, httpPort: 8374}
policy: {r: 5, w: 2}
policies: [{prefix: x, policy: PA/EL}, {prefix: x, policy: PC/EC}]
storage: {evictionPolicy: lru, memoryBytesMax: 1MiB}
limits: {silenceMaxMs: 210, outputBytesSoft: 64MiB, horizonMarginMs: 1s, horizonAlarmMs: 5m}
`),
    });
    const expected = [
      /nodeId: expected one of the members \(n1, n2, n3, n3\); found "n4"/,
      /members\[3\].id: "n3" is the id of two members/,
      /members\[3\].respPort: 127.0.0.1:6371 is also the respPort of n1/,
      /policies\[1\]: the prefix "x" has two policies/,
      /storage.evictionPolicy: only the memory engine evicts/,
      /storage.memoryBytesMax: only the memory engine/,
      /limits.silenceMaxMs: expected at least twice/,
      /limits.outputBytesSoft: expected at most/,
      /limits.horizonMarginMs: expected at least/,
      /limits.horizonAlarmMs: expected at least/,
    ];
    for (const words of expected) {
      assert.ok(
        problems.some((problem) => words.test(problem)),
        `${words} in\n${problems.join('\n')}`,
      );
    }
    assert.match(
      bad({ file: file(`nodeId: n1\n${three}policy: {r: 5, w: 2}\n`) }).join(),
      /expected r from 1 to 3/,
    );
    assert.match(
      bad({ file: file(`nodeId: n1\n${three}ports: {peer: 1}\nhost: other\n`) }).join('\n'),
      /ports.peer: expected 7371[\s\S]*host: expected 127.0.0.1/,
    );
    assert.match(bad({ flags: new Map([['ports-resp', '64000']]) }).join(), /leaves room/);
  });

  it('a node that joins knows itself alone; what the cluster is, it will be told', () => {
    const alone = good({
      values: { nodeId: 'n4', host: '10.0.0.4', zone: 'b', weight: 2, join: ['http://10.0.0.1:8371'] },
    });
    const { id, host, peerPort, zone, weight } = alone.self;
    assert.deepEqual([id, host, peerPort, zone, weight], ['n4', '10.0.0.4', 7371, 'b', 2]);
    assert.deepEqual(alone.policy, { r: 2, w: 2, strict: false }, 'not that of one node');
    assert.deepEqual(good({ values: { join: null } }).join, []);
    const flags = (...pairs: readonly [string, string][]): Sources => ({ flags: new Map(pairs) });
    for (const address of ['n1', 'https://n1:1', 'n1:0', 'n1:70000', 'n1:1/v1', '']) {
      assert.match(bad(flags(['join', address])).join(), /--join.*expected HTTP addresses/, address);
    }
    assert.match(bad(flags(['join', '127.0.0.1:8371'])).join(), /join.*other members than this node/);
    assert.match(
      bad({ values: { join: ['n1:8371'], ports: { peer: 0 } } }).join(),
      /join: a node that joins others needs a port/,
    );
    assert.match(
      bad({ file: file(`nodeId: n1\n${three}zone: a\nweight: 3\n`) }).join('\n'),
      /zone: expected default, as members say[\s\S]*weight: expected 1/,
    );
  });

  it('tells a file that is missing or not YAML, with lines', () => {
    assert.match(bad({ file: join(directory, 'none.yaml') }).join(), /none.yaml: there is no such file/);
    assert.match(bad({ file: file('a: [1\nb: }\n') }).join('\n'), /yaml:\d+: not YAML/);
    assert.match(bad({ file: file('- a\n- b\n') }).join(), /expected settings/);
    assert.deepEqual(good({ file: file('# nothing\n') }).nodeId, 'n1');
  });

  it('warns of a variable that is no setting', () => {
    const { warnings, config } = loadConfig({
      environment: { DURE_STORAGE_ENGIN: 'memory', DURE_PORT: 'tcp://x' },
    });
    assert.ok(config);
    assert.match(
      warnings.join('\n'),
      /DURE_STORAGE_ENGIN is not a setting; did you mean "DURE_STORAGE_ENGINE"/,
    );
  });

  it('writes problems as lines, with their number', () => {
    const { problems } = loadConfig({ flags: new Map([['replicas', '0']]) });
    assert.match(
      problemLines(problems),
      /^1 problem in the configuration; nothing was started:\n {2}--replicas/,
    );
    assert.ok(dirname(directory).length > 0);
  });
});
