import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Histogram } from '../../../src/base/histogram.ts';
import { HttpServer } from '../../../src/http/http-server.ts';
import type { DoorView } from '../../../src/http/metrics.ts';
import type { MemberView, NodeFigures } from '../../../src/node/api.ts';
import { LOG_SILENT } from '../../../src/ports/log.ts';
import { FakeNode } from '../../support/fake-node.ts';

const figures: NodeFigures = {
  reads: 101,
  writes: 102,
  updates: 103,
  readsShared: 104,
  forwards: 105,
  hedges: 106,
  repairsBlocking: 107,
  repairsAfter: 108,
  failuresQuorum: 109,
  failuresDeadline: 110,
  failuresOverload: 111,
  framesDamaged: 112,
  framesLate: 118,
  standIns: 0,
  siblingWrites: 0,
  siblingsMet: 0,
  siblingsRefused: 0,
  siblingsMost: 0,
  hints: 0,
  hintBytes: 0,
  hintsLoading: 0,
  hintsAccepted: 0,
  hintsUnreadable: 0,
  hintsDamaged: 0,
  hintsRefused: 0,
  hintsDelivered: 0,
  hintStragglers: 0,
  repairRowsSent: 0,
  repairRowsTaken: 0,
  repairRowsDropped: 0,
  repairRowBytes: 0,
  repairMetadataBytes: 0,
  repairRowsRead: 0,
  repairRounds: 0,
  repairRoundMs: 0,
  repairFailures: 0,
  repairSessions: 0,
  repairTimeMs: 0,
  rowsDamaged: 113,
  rowsRefusedClock: 114,
  requestsInFlight: 115,
  writesUnsettled: 123,
  framesSent: 116,
  messagesSent: 117,
  storage: { bytesMemory: 118, bytesDisk: 119, evictions: 120, commits: 121, syncs: 122 },
};

/** A node whose figures and members differ from each other; `down` can be changed by a test. */
class NodeStub extends FakeNode {
  reads = 101;

  get down(): Set<string> {
    return this.dead;
  }

  override figures(): NodeFigures {
    return { ...figures, reads: this.reads };
  }

  override members(): readonly MemberView[] {
    return super.members().map((member) => ({
      ...member,
      weight: 1.5,
      silenceMs: member.id === 'n1' ? 0 : 250.442276,
      replyP95Ms: 1.5,
    }));
  }
}

interface Setup {
  readonly node: NodeStub;
  readonly latency: Histogram;
  readonly port: number;
  fault: string | undefined;
  get(path: string): Promise<Response>;
}

async function withServer(run: (setup: Setup) => Promise<void>): Promise<void> {
  const node = new NodeStub();
  const latency = new Histogram();
  const door: DoorView = {
    connectionCount: 3,
    bufferedBytes: 44,
    statistics: {
      connectionsReceived: 201,
      connectionsRejected: 202,
      connectionsCut: 203,
      protocolErrors: 204,
      commands: 205,
      commandsRefused: 206,
      inputBytes: 207,
      outputBytes: 208,
      latency,
    },
  };
  const sources = { node, door, version: '1.2.3', fault: () => setup.fault, drain: async () => 0 };
  const server = new HttpServer({ port: 0 }, sources, LOG_SILENT);
  const port = await server.listen();
  const setup: Setup = {
    node,
    latency,
    port,
    fault: undefined,
    get: (path) => fetch(`http://127.0.0.1:${port}${path}`),
  };
  try {
    await run(setup);
  } finally {
    await server.close();
  }
}

test('live: the process answers, whatever else is wrong', () =>
  withServer(async (setup) => {
    setup.fault = 'storage failed';
    const answer = await setup.get('/health/live');
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), { live: true, node: 'n1', version: '1.2.3' });
  }));

test('ready: with a quorum, also with one of three down', () =>
  withServer(async (setup) => {
    const all = await setup.get('/health/ready');
    assert.equal(all.status, 200);
    assert.deepEqual(await all.json(), {
      ready: true,
      problems: [],
      membersLive: 3,
      members: 3,
      partitions: 1024,
      partitionsWithoutQuorum: 0,
    });
    setup.node.down.add('n2');
    assert.equal((await setup.get('/health/ready')).status, 200);
  }));

test('not ready: without a quorum, or with a fault; the answer says why', () =>
  withServer(async (setup) => {
    setup.node.down.add('n2').add('n3');
    const lonely = await setup.get('/health/ready');
    assert.equal(lonely.status, 503);
    assert.deepEqual(((await lonely.json()) as { problems: string[] }).problems, [
      'no quorum for 1024 of 1024 partitions: 1 of 3 live',
    ]);
    setup.node.down.clear();
    setup.fault = 'starting';
    const starting = await setup.get('/health/ready');
    assert.equal(starting.status, 503);
    assert.deepEqual(((await starting.json()) as { problems: string[] }).problems, ['starting']);
  }));

test('members: as the node sees them, without the fractions of a clock', () =>
  withServer(async (setup) => {
    setup.node.down.add('n3');
    const answer = (await (await setup.get('/members')).json()) as Record<string, unknown>;
    assert.equal(answer.node, 'n1');
    assert.equal(answer.cluster, 'fake');
    assert.equal(answer.epoch, 1);
    assert.equal(answer.replicas, 3);
    const members = answer.members as MemberView[];
    assert.deepEqual(
      members.map((member) => [member.id, member.live, member.weight, member.silenceMs]),
      [
        ['n1', true, 1.5, 0],
        ['n2', true, 1.5, 250],
        ['n3', false, 1.5, 250],
      ],
    );
  }));

/** Samples of a metrics page by name and labels. */
function samplesOf(page: string): Map<string, number> {
  const samples = new Map<string, number>();
  for (const line of page.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = /^([a-z_0-9]+(?:\{[^}]*\})?) (\S+)$/i.exec(line);
    assert.ok(match, `a line of the text format: ${line}`);
    assert.ok(!samples.has(match[1]!), `${match[1]} comes once`);
    samples.set(match[1]!, match[2] === 'Nan' ? Number.NaN : Number(match[2]));
  }
  return samples;
}

test('metrics: what was counted, in the text format of Prometheus', () =>
  withServer(async (setup) => {
    setup.latency.record(80, 5);
    setup.latency.record(900, 4);
    setup.latency.record(7_000_000, 1);
    setup.node.down.add('n3');
    const answer = await setup.get('/metrics');
    assert.match(answer.headers.get('content-type')!, /^text\/plain; version=0\.0\.4/);
    const page = await answer.text();
    const samples = samplesOf(page);
    for (const [name, value] of [
      ['dure_reads_total', 101],
      ['dure_hedges_total', 106],
      ['dure_repairs_blocking_total', 107],
      ['dure_requests_in_flight', 115],
      ['dure_writes_unsettled', 123],
      ['dure_storage_memory_bytes', 118],
      ['dure_storage_evictions_total', 120],
      ['dure_storage_syncs_total', 122],
      ['dure_resp_connections', 3],
      ['dure_resp_commands_total', 205],
      ['dure_resp_output_bytes_total', 208],
      ['dure_peer_live{peer="n2"}', 1],
      ['dure_peer_live{peer="n3"}', 0],
      ['dure_ready', 1],
      ['dure_partitions_without_quorum', 0],
      ['dure_resp_latency_seconds_bucket{le="0.0001"}', 5],
      ['dure_resp_latency_seconds_bucket{le="0.001"}', 9],
      ['dure_resp_latency_seconds_bucket{le="5"}', 9],
      ['dure_resp_latency_seconds_bucket{le="+Inf"}', 10],
      ['dure_resp_latency_seconds_count', 10],
      ['dure_resp_latency_seconds_sum', 7.004],
    ] as const) {
      assert.equal(samples.get(name), value, name);
    }
    assert.equal(samples.has('dure_peer_live{peer="n1"}'), false);
    assert.match(page, /^# TYPE dure_resp_latency_seconds histogram$/m);
    assert.match(page, /^# TYPE dure_reads_total counter$/m);
    assert.ok(samples.get('process_cpu_user_seconds_total')! > 0);
    assert.ok(samples.get('process_resident_memory_bytes')! > 1e6);
    assert.equal(samples.get('dure_info{node="n1",cluster="fake",epoch="1"}'), 1);
  }));

test('metrics: each scrape reads anew, and a counter is not added up twice', () =>
  withServer(async (setup) => {
    await setup.get('/metrics');
    setup.node.reads = 150;
    const samples = samplesOf(await (await setup.get('/metrics')).text());
    assert.equal(samples.get('dure_reads_total'), 150);
    assert.equal(samples.get('dure_writes_total'), 102);
  }));

test('what is not there is 404, what is not HTTP is 400', () =>
  withServer(async (setup) => {
    const answer = await setup.get('/nothing');
    assert.equal(answer.status, 404);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    assert.equal(((await answer.json()) as { code: string }).code, 'no-such-page');
    const raw = await new Promise<string>((resolve, reject) => {
      const socket = connect(setup.port, '127.0.0.1', () => socket.write('*1\r\n$4\r\nPING\r\n'));
      let received = '';
      socket.on('data', (chunk) => {
        received += chunk.toString();
      });
      socket.on('close', () => resolve(received));
      socket.on('error', reject);
    });
    assert.match(raw, /^HTTP\/1\.1 400 /);
  }));
