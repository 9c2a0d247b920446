/** What `dure status` prints, as golden texts: several situations, several widths, with and without colour. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterLook } from '../../../src/main/status-fetch.ts';
import { renderCluster } from '../../../src/main/status-render.ts';
import { clusterView } from '../../../src/main/status-view.ts';
import { Statuses } from '../../support/statuses.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

function picture(look: ClusterLook, width: number = Number.POSITIVE_INFINITY, color = false): string {
  return renderCluster(clusterView(look), { width, color });
}

/** The picture without the legend, which is the same everywhere. */
function body(look: ClusterLook, width?: number): string {
  const text = picture(look, width);
  const at = text.indexOf('\nkeeps: ');
  assert.ok(at > 0, 'there is a legend');
  return text.slice(0, at);
}

function golden(actual: string, expected: string): void {
  assert.equal(actual, expected.replace(/^\n/, ''));
}

describe('dure status, as text', () => {
  it('all is well', () => {
    golden(
      picture(new Statuses().look()),
      `
Cluster shop: 3 nodes, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY  PHI  KEEPS  IS OWED  LAG  REPAIR         HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n2    b     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n3    c     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB

All is well, and nothing is outstanding.

keeps: rows it holds for members that are away. is owed: rows the others hold for it. lag: age of
the oldest write it is known to lack. horizon: how long ago the traces of deleted keys were last
collected.
`,
    );
  });

  it('one joins: its own word on how far it is counts', () => {
    const cluster = new Statuses();
    for (const own of cluster.answers) {
      own.epoch = 2;
      cluster.view(own.node, 'n3').state = 'joining';
      // It holds nothing yet that could be compared.
      if (own.node === 'n3') Object.assign(own.repair, { comparisons: 0, equal: 0, roundAgeMs: null });
      const figures = own.node === 'n3' ? { partitions: 512, partitionsDone: 320 } : {};
      own.change = {
        ...{ kind: 'join', nodes: ['n3'], gone: [], cancelled: false, phase: 'copy', sinceMs: 40_000 },
        ...{ busy: ['n3'], waitsFor: [], bytes: 0, bytesLeft: 6_000_000, bytesPerSecond: 100_000 },
        ...{ partitions: 0, partitionsDone: 0, ...figures },
      };
    }
    golden(
      body(cluster.look()),
      `
Cluster shop: 3 nodes, N=3, epoch 2, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY  PHI  KEEPS  IS OWED  LAG  REPAIR         HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n2    b     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n3    c     joining    alive       0.4      0        0    0  joining             3m  yes    0.6ms  1.0 GiB

Degraded: everything is served; something is missing, late, or no longer spare.

!  the join of n3: n3 fetches, 320 of 512 partitions, about 1m to go (n1, n2 say)
   Means: everything is served as before; until it is done a little of the nodes and the network
          goes into moving data.
   Do:    nothing: it goes on by itself, even if whoever asked for it is gone.
`,
    );
  });

  it('one down, hints kept for it', () => {
    const cluster = new Statuses();
    cluster.down('n3', 200_000);
    cluster.hint('n1', 'n3', { count: 1204, bytes: 118_300, oldestAgeMs: 198_400 });
    cluster.hint('n2', 'n3', { count: 800, bytes: 80_000, oldestAgeMs: 120_000 });
    golden(
      body(cluster.look()),
      `
Cluster shop: 3 nodes, 2 answer, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY  PHI  KEEPS  IS OWED     LAG  REPAIR         HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  alive       0.4  1,204        0       0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n2    b     up 3h 12m  alive       0.4    800        0       0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n3    c     no answer  down        >99      -    2,004  3m 18s  -                    -  -      0.6ms  -

Degraded: everything is served; something is missing, late, or no longer spare.

!  n3 is down, silent for 3m 20s (n1, n2 say)
   Means: its keys are served by their other replicas, with one copy less; 2,004 rows wait for it on
          other nodes.
   Do:    start n3 again; it catches up by itself.
`,
    );
  });

  it('columns that matter least go first where the terminal is narrow, and that is said', () => {
    const cluster = new Statuses();
    cluster.down('n3', 200_000);
    const look = cluster.look();
    golden(
      picture(look, 72),
      `
Cluster shop: 3 nodes, 2 answer, N=3, epoch 1, Dure 0.1.0

  NODE  STATE      OTHERS SAY  KEEPS  IS OWED  LAG  REPAIR         WHOLE
  n1    up 3h 12m  alive           0        0    0  equal, 5m ago  yes
  n2    up 3h 12m  alive           0        0    0  equal, 5m ago  yes
  n3    no answer  down            -        0    0  -              -

Degraded: everything is served; something is missing, late, or no longer
spare.

!  n3 is down, silent for 3m 20s (n1, n2 say)
   Means: its keys are served by their other replicas, with one copy
          less.
   Do:    start n3 again; it catches up by itself.

keeps: rows it holds for members that are away. is owed: rows the others
hold for it. lag: age of the oldest write it is known to lack. horizon:
how long ago the traces of deleted keys were last collected.
A wider terminal shows zone, phi, horizon, p95, storage too; 72 columns
here.
`,
    );
    for (const width of [40, 60, 80, 100, 120, 200]) {
      const lines = picture(look, width).split('\n');
      const longest = lines.reduce((one, other) => (other.length > one.length ? other : one));
      assert.ok(longest.length <= width, `${width} columns: ${longest}`);
    }
  });

  it('a node that lost its data is being made whole', () => {
    const cluster = new Statuses();
    const { past, repair } = cluster.of('n2');
    Object.assign(past, {
      whole: false,
      state: 'lost',
      vouched: 420,
      progress: 0.41,
      reason: 'its directory was empty',
    });
    Object.assign(repair, { running: true, progress: 0.41, equal: 1024, differing: 12, unknown: 1012 });
    golden(
      body(cluster.look()),
      `
Cluster shop: 3 nodes, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY  PHI  KEEPS  IS OWED  LAG  REPAIR                 HORIZON  WHOLE              P95  STORAGE
  n1    a     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago               3m  yes              0.6ms  1.0 GiB
  n2    b     up 3h 12m  alive       0.4      0        0    0  12 differ, round 41 %       3m  rebuilding 41 %  0.6ms  1.0 GiB
  n3    c     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago               3m  yes              0.6ms  1.0 GiB

Degraded: everything is served; something is missing, late, or no longer spare.

!  n2 lost data (its directory was empty) and is being made whole: 420 of 1024 partitions
   Means: what it cannot vouch for is read from the other replicas; until it is whole there is one
          copy less.
   Do:    keep the other nodes running until it is done; nothing else.
`,
    );
  });

  it('a horizon held for hours names the member', () => {
    const cluster = new Statuses(4);
    cluster.down('n4', 4 * hourMs);
    for (const id of ['n1', 'n2']) {
      const held = { ageMs: 4 * hourMs, held: 200, heldBy: 'n4', reason: 'it is away' };
      Object.assign(cluster.of(id).horizon, held);
    }
    golden(
      body(cluster.look()),
      `
Cluster shop: 4 nodes, 3 answer, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY  PHI  KEEPS  IS OWED  LAG  REPAIR                HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago  4h, held by n4  yes    0.6ms  1.0 GiB
  n2    b     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago  4h, held by n4  yes    0.6ms  1.0 GiB
  n3    c     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago              3m  yes    0.6ms  1.0 GiB
  n4    a     no answer  down        >99      -        0    0  -                           -  -      0.6ms  -

Degraded: everything is served; something is missing, late, or no longer spare.

!  n4 is down, silent for 4h (n1, n2, n3 say)
   Means: its keys are served by their other replicas, with one copy less.
   Do:    start n4 again; it catches up by itself.

!  the collection of deleted keys stands still in 200 partitions, for 4h, held up by n4: it is away
   (n1, n2 say)
   Means: deletes stay correct and their traces pile up: they cost space and nothing else.
   Do:    start n4 again.
`,
    );
  });

  it('two that do not reach each other while others hear both', () => {
    const cluster = new Statuses();
    Object.assign(cluster.view('n1', 'n2'), { reachable: false, seenThrough: 'n3' });
    golden(
      body(cluster.look()),
      `
Cluster shop: 3 nodes, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY     PHI  KEEPS  IS OWED  LAG  REPAIR         HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  alive          0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n2    b     up 3h 12m  unreached 1/2  0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n3    c     up 3h 12m  alive          0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB

Degraded: everything is served; something is missing, late, or no longer spare.

!  n1 does not reach n2, though n3 hears it
   Means: the network between the two is cut or slow; each goes on with whom it reaches.
   Do:    look at the network between n1 and n2.
`,
    );
    Object.assign(cluster.view('n2', 'n1'), { reachable: false, seenThrough: 'n3' });
    golden(
      body(cluster.look()),
      `
Cluster shop: 3 nodes, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY     PHI  KEEPS  IS OWED  LAG  REPAIR         HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  unreached 1/2  0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n2    b     up 3h 12m  unreached 1/2  0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n3    c     up 3h 12m  alive          0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB

Degraded: everything is served; something is missing, late, or no longer spare.

!  n1 and n2 do not reach each other; others hear both
   Means: the network between the two is cut or slow; each goes on with whom it reaches.
   Do:    look at the network between n1 and n2.
`,
    );
  });

  it('critical: no quorum and a full disk come before what is only missing', () => {
    const cluster = new Statuses();
    cluster.down('n2', 20_000);
    cluster.down('n3', 20_000);
    cluster.of('n1').partitions.withoutQuorum = 1024;
    cluster.of('n1').storage.state = 'full';
    golden(
      body(cluster.look()),
      `
Cluster shop: 3 nodes, 1 answer, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY  PHI  KEEPS  IS OWED  LAG  REPAIR         HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  -             -      0        -    -  equal, 5m ago       3m  yes        -  full
  n2    b     no answer  down        >99      -        0    0  -                    -  -      0.6ms  -
  n3    c     no answer  down        >99      -        0    0  -                    -  -      0.6ms  -

Critical: some requests fail now, or will before long.

!! the storage of n1 is full
   Means: it takes no writes, reads go on; writes that need this replica fail.
   Do:    make room: writes resume by themselves.

!! too few nodes are reached for 1024 of 1024 partitions (100 % of the keys) (n1 says)
   Means: requests on those keys that need a quorum fail; no data is lost.
   Do:    start the nodes that are down, or mend the network between the nodes.

!  n2 is down, silent for 20s (n1 says)
   Means: its keys have one copy less in reach.
   Do:    start n2 again; it catches up by itself.

!  n3 is down, silent for 20s (n1 says)
   Means: its keys have one copy less in reach.
   Do:    start n3 again; it catches up by itself.
`,
    );
  });

  it('a node that the others hear and that does not answer us', () => {
    const cluster = new Statuses();
    cluster.silent.set('n2', 'no answer within 1 s');
    golden(
      body(cluster.look()),
      `
Cluster shop: 3 nodes, 2 answer, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY  PHI  KEEPS  IS OWED  LAG  REPAIR         HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB
  n2    b     no answer  alive       0.4      -        0    0  -                    -  -      0.6ms  -
  n3    c     up 3h 12m  alive       0.4      0        0    0  equal, 5m ago       3m  yes    0.6ms  1.0 GiB

Degraded: everything is served; something is missing, late, or no longer spare.

!  n2 does not answer at 127.0.0.1:8372: no answer within 1 s
   Means: the other nodes hear it, so its data is served; it cannot be looked at from here.
   Do:    if this goes on, look at its process and log, and at the network from here to its HTTP
          port.
`,
    );
  });

  it('siblings at the cap: which keys, and what to do; nothing outstanding is not well', () => {
    const cluster = new Statuses();
    for (const { siblings } of cluster.answers) {
      Object.assign(siblings, {
        refused: 3,
        refusedAgoMs: 1400,
        refusedPrefix: 'cart:',
        refusedWhy: 'it has 32 siblings and the limit is 32',
      });
    }
    const text = body(cluster.look(), 100);
    assert.doesNotMatch(text, /All is well/);
    golden(
      text.slice(text.indexOf('Critical')),
      `
Critical: some requests fail now, or will before long.

!! siblings cap reached: keys beginning with cart: (it has 32 siblings and the limit is 32) (n1, n2,
   n3 say)
   Means: writes that would add a value to them are refused, 3 since start, the last 1.4s ago; no
          value is cut, and other keys are not concerned.
   Do:    make the clients that write those keys read first and hand the context back (DURE.GET key,
          then DURE.SET key value CONTEXT context); the error of a refused write says how to mend
          its key.
`,
    );
  });

  it('parts that a node does not tell of are left open, and nothing is called settled', () => {
    const cluster = new Statuses();
    const nodes = cluster.look().nodes.map((node) => {
      const { hints, repair, horizon, past, ...answer } = node.answer!;
      return { ...node, answer: { ...answer, settled: false } };
    });
    golden(
      body({ nodes, problems: [] }),
      `
Cluster shop: 3 nodes, N=3, epoch 1, Dure 0.1.0

  NODE  ZONE  STATE      OTHERS SAY  PHI  KEEPS  IS OWED  LAG  REPAIR  HORIZON  WHOLE    P95  STORAGE
  n1    a     up 3h 12m  alive       0.4      -        0    0  -             -  -      0.6ms  1.0 GiB
  n2    b     up 3h 12m  alive       0.4      -        0    0  -             -  -      0.6ms  1.0 GiB
  n3    c     up 3h 12m  alive       0.4      -        0    0  -             -  -      0.6ms  1.0 GiB

All is well.
`,
    );
  });

  it('colours, where they are wanted, and the words stay the same', () => {
    const cluster = new Statuses();
    cluster.down('n3', 200_000);
    const look = cluster.look();
    const colored = picture(look, 120, true);
    assert.ok(colored.includes('\x1b[31mdown\x1b[0m'), 'down is red');
    assert.ok(colored.includes('\x1b[33m!  n3 is down'), 'a warning is yellow');
    assert.equal(colored.replace(/\x1b\[\d*m/g, ''), picture(look, 120));
    assert.ok(!picture(look, 120).includes('\x1b'));
  });
});

describe('the view of a cluster', () => {
  it('says once what several say, with their names, and takes the worst of what they tell', () => {
    const cluster = new Statuses(5);
    cluster.down('n5', 10_000);
    Object.assign(cluster.view('n1', 'n5'), { status: 'suspect' });
    cluster.view('n2', 'n4').lagMs = 3 * minuteMs;
    cluster.view('n3', 'n4').lagMs = 90_000;
    cluster.view('n3', 'n1').phi = 7.5;
    const view = clusterView(cluster.look());
    assert.equal(view.verdict, 'degraded');
    assert.equal(view.settled, false);
    assert.deepEqual(
      view.reasons.map(({ code, subject, saidBy }) => [code, subject, saidBy.join(' ')]),
      [
        ['member-suspect', 'n5', 'n1'],
        ['member-down', 'n5', 'n2 n3 n4'],
        ['lag-high', 'n4', 'n2 n3'],
      ],
    );
    const [n1, , , n4, n5] = view.nodes;
    assert.equal(n1!.others.phiMax, 7.5);
    assert.deepEqual([n4!.others.lagMs, n4!.others.voices], [3 * minuteMs, 3]);
    assert.deepEqual([n5!.others.down, n5!.others.suspect, n5!.answer], [3, 1, undefined]);
  });

  it('of a node that is being made whole takes its own word, and its lag is told as no more than a bound', () => {
    const cluster = new Statuses();
    cluster.eachView('n2', { rebuildingMs: 90_000, lagMs: 90_000 });
    const lost = { whole: false, state: 'lost', vouched: 256, progress: 0.25, sinceMs: 90_000 } as const;
    Object.assign(cluster.of('n2').past, lost);
    const { reasons } = clusterView(cluster.look());
    assert.deepEqual(
      reasons.map(({ code, subject, saidBy }) => [code, subject, saidBy.join(' ')]),
      [['rebuilding', 'n2', 'n1 n2 n3']],
    );
    assert.match(reasons[0]!.what, /256 of 1024 partitions/);
    assert.match(picture(cluster.look(), 200), /^ {2}n2 .*>1m 30s .*rebuilding 25 %/m);
    // It does not answer us: what the others heard of it is left.
    cluster.silent.set('n2', 'nothing listens there');
    assert.match(picture(cluster.look(), 200), /^ {2}n2 .*no answer.*>1m 30s .*rebuilding /m);
  });

  it('does not mix up two nodes that are short of room for hints', () => {
    const cluster = new Statuses();
    cluster.down('n3', 10_000);
    cluster.hint('n1', 'n3', { count: 9, bytes: 230 * 1024 * 1024, oldestAgeMs: 9000 });
    cluster.hint('n2', 'n3', { count: 9, bytes: 256 * 1024 * 1024, oldestAgeMs: 9000 });
    const view = clusterView(cluster.look());
    assert.deepEqual(
      view.reasons.map(({ code, severity, saidBy }) => [code, severity, saidBy.join(' ')]),
      [
        ['member-down', 'degraded', 'n1 n2'],
        ['hints-filling', 'degraded', 'n1'],
        ['hints-full', 'degraded', 'n2'],
      ],
    );
    assert.equal(view.verdict, 'degraded');
  });

  it('is settled only when every node answers and says so', () => {
    const cluster = new Statuses();
    assert.equal(clusterView(cluster.look()).settled, true);
    cluster.of('n2').repair.unknown = 1;
    assert.equal(clusterView(cluster.look()).settled, false);
    cluster.of('n2').repair.unknown = 0;
    cluster.silent.set('n1', 'no answer');
    assert.equal(clusterView(cluster.look()).settled, false);
  });

  it('a node that said goodbye was stopped, and is not called down', () => {
    const cluster = new Statuses();
    cluster.down('n3', 5000);
    cluster.eachView('n3', { status: 'left' });
    const view = clusterView(cluster.look());
    assert.deepEqual([view.nodes[2]!.others.left, view.nodes[2]!.others.down], [2, 0]);
    assert.deepEqual(
      view.reasons.map(({ code, what }) => [code, what]),
      [['member-down', 'n3 was stopped']],
    );
    assert.match(renderCluster(view, { width: 120, color: false }), /n3 +c +no answer +stopped /);
  });

  it('tells of a node that answers and does not serve', () => {
    const cluster = new Statuses();
    cluster.of('n2').fault = 'the node is stopping';
    const { reasons, verdict } = clusterView(cluster.look());
    assert.deepEqual([verdict, reasons[0]!.code, reasons[0]!.subject], ['degraded', 'not-serving', 'n2']);
  });
});
