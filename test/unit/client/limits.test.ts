/**
 * Limits of a call against scripted nodes: the abort signal at every moment, the deadline of operations that make
 * several calls, and which writes are sent twice.
 */

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { type Client, type ConnectOptions, connect, type DureError } from '../../../client/index.ts';
import { bytesOf, utf8Bytes } from '../../../src/base/bytes.ts';
import { ErrorReply, MapReply } from '../../../src/resp/value.ts';
import { failure } from '../../support/failure.ts';
import { FakeNodes } from '../../support/fake-nodes.ts';
import { delay, until } from '../../support/wait.ts';

async function withClient(
  options: Partial<ConnectOptions<unknown>>,
  run: (client: Client<unknown>, nodes: FakeNodes) => Promise<void>,
): Promise<void> {
  const nodes = await FakeNodes.start(2);
  const client = await connect({ nodes: nodes.addresses, ...options });
  try {
    await until(() => client.metrics().connectionsMade >= 2, 'both nodes are connected');
    await run(client, nodes);
  } finally {
    await client.close({ graceMs: 0 });
    await nodes.close();
  }
}

async function timed<T>(work: Promise<T>): Promise<[T, number]> {
  const from = performance.now();
  const value = await work;
  return [value, performance.now() - from];
}

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

test('abort before the call and in the turn of the call: nothing is sent', async () => {
  await withClient({}, async (client, nodes) => {
    const signal = AbortSignal.abort(new Error('enough'));
    for (const call of [
      client.put('a', 1, { signal }),
      client.delete('a', { signal }),
      client.update('a', () => 1, { signal }),
      client.get('a', { signal }),
      client.getVersions('a', { signal }),
      client.scan({ signal }).next(),
    ]) {
      const error = await failure(call);
      assert.equal(error.code, 'aborted');
      assert.notEqual(error.outcome, 'unknown');
    }
    const [line] = await client.batch([{ put: 'a', value: 1 }], { signal });
    assert.ok(line?.ok === false && line.error.outcome === 'fail');
    // In the outbox of the connection, which is written when the turn ends.
    const controller = new AbortController();
    const call = client.put('a', 2, { signal: controller.signal });
    controller.abort();
    const error = await failure(call);
    assert.deepEqual([error.code, error.outcome], ['aborted', 'fail']);
    await client.get('b');
    for (const name of ['SET', 'DEL', 'DURE.GET', 'SCAN']) assert.equal(nodes.count(name), 0, name);
  });
});

test('abort while the call waits: for an answer, between two attempts, for any node', async () => {
  await withClient({}, async (client, nodes) => {
    nodes.script = (words) => (words[1] === 'slow' ? 'silence' : 'default');
    for (const [call, outcome] of [
      [(signal: AbortSignal) => client.put('slow', 1, { signal }), 'unknown'],
      [(signal: AbortSignal) => client.get('slow', { signal }), 'none'],
    ] as const) {
      const controller = new AbortController();
      const [error, tookMs] = await timed(abortedAfter(20, controller, call(controller.signal)));
      assert.deepEqual([error.code, error.outcome, listeners(controller.signal)], ['aborted', outcome, 0]);
      assert.ok(tookMs < 500);
    }
  });
  await withClient({ random: () => 0.99 }, async (client, nodes) => {
    let refusals = 0;
    nodes.script = (words) => {
      if (words[0] !== 'SET') return 'default';
      refusals += 1;
      return new ErrorReply('TRYAGAIN', 'no quorum');
    };
    const controller = new AbortController();
    const call = client.put('a', 1, { signal: controller.signal });
    client.on('retry', ({ attempt }) => {
      // The wait before the third repetition is 40 ms here.
      if (attempt === 4) setImmediate(() => controller.abort());
    });
    const error = await failure(call);
    // It was refused each time: nothing is unknown.
    assert.deepEqual([error.code, error.outcome], ['aborted', 'fail']);
    const before = refusals;
    await delay(100);
    assert.equal(refusals, before, 'no attempt after the abort');

    await nodes.close();
    await until(() => client.metrics().connectionsLost === 2, 'the loss is noticed');
    const last = new AbortController();
    const lost = await abortedAfter(10, last, client.put('a', 1, { signal: last.signal }));
    assert.deepEqual([lost.code, lost.outcome], ['aborted', 'fail']);
  });
});

function abortedAfter(ms: number, controller: AbortController, call: Promise<unknown>): Promise<DureError> {
  setTimeout(() => controller.abort(), ms);
  return failure(call);
}

test('abort after the answer changes nothing, and a signal may be used by thousands of calls', async () => {
  await withClient({}, async (client) => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning);
    process.on('warning', onWarning);
    const controller = new AbortController();
    const { signal } = controller;
    const lines = Array.from({ length: 2000 }, (_, i) => ({ put: `k${i}`, value: i }));
    const results = await client.batch(lines, { signal });
    assert.ok(results.every(({ ok }) => ok));
    assert.equal(listeners(signal), 0, 'no call holds on to the signal');
    const value = client.get('k7', { signal });
    assert.equal(await value, 7);
    controller.abort();
    assert.equal(await value, 7);
    await delay(5);
    process.off('warning', onWarning);
    assert.deepEqual(warnings, []);
  });
});

test('a batch is aborted as a whole: what was answered stands', async () => {
  await withClient({}, async (client, nodes) => {
    nodes.script = (words) => (words[1]?.startsWith('slow') ? 'silence' : 'default');
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 40);
    const lines = [{ put: 'a', value: 1 }, { put: 'slow', value: 1 }, { get: 'slow' }];
    const results = await client.batch(lines, { signal: controller.signal });
    assert.deepEqual(
      results.map((line) => (line.ok ? 'ok' : `${line.error.code} ${line.error.outcome}`)),
      ['ok', 'aborted unknown', 'aborted none'],
    );
  });
});

test('the deadline is that of the operation, however many calls it makes', async () => {
  await withClient({}, async (client, nodes) => {
    nodes.siblingKeys.add('s');
    await client.put('s', ['a']);
    await client.put('s', ['b']);
    const merge = (values: readonly unknown[]): unknown => values.flat();
    nodes.script = (words) => {
      if (words[0] === 'DURE.GET') return { afterMs: 150 };
      return words[0] === 'DURE.SET' ? 'silence' : 'default';
    };
    // A read that answers, and a write-back that never does.
    const [value, mergedMs] = await timed(client.get('s', { merge, deadlineMs: 250 }));
    assert.deepEqual(value, ['a', 'b']);
    assert.ok(mergedMs >= 230 && mergedMs < 380, `${mergedMs} ms`);
    assert.equal(client.metrics().mergesFailed, 1);
  });
  await withClient({}, async (client, nodes) => {
    nodes.script = (words) => {
      if (words[0] === 'DURE.GET') return { afterMs: 150 };
      return words[0] === 'DURE.SET' ? 'silence' : 'default';
    };
    // The read takes all the time there is: the write is not sent.
    const sent = nodes.count('DURE.SET');
    assert.equal((await failure(client.update('s', () => 1, { deadlineMs: 40 }))).outcome, 'none');
    assert.equal(nodes.count('DURE.SET'), sent);
    // Replies come in order: that of the read that was given up first.
    await delay(200);
    const [error, updateMs] = await timed(failure(client.update('s', () => 1, { deadlineMs: 250 })));
    assert.deepEqual([error.code, error.outcome], ['deadline-exceeded', 'unknown']);
    assert.ok(updateMs < 380, `${updateMs} ms`);
  });
});

test('the deadline of a batch is that of the whole, also for lines that wait for their turn', async () => {
  await withClient({}, async (client, nodes) => {
    nodes.script = (words) => (words[0] === 'GET' ? 'silence' : 'default');
    const lines = [
      ...Array.from({ length: 1024 }, (_, i) => ({ get: `k${i}` })),
      ...Array.from({ length: 50 }, (_, i) => ({ put: `p${i}`, value: i })),
    ];
    const [results, tookMs] = await timed(client.batch(lines, { deadlineMs: 120 }));
    assert.ok(tookMs < 350, `${tookMs} ms`);
    for (const line of results) assert.ok(!line.ok && line.error.code === 'deadline-exceeded');
    assert.ok(results.slice(1024).every((line) => !line.ok && line.error.outcome === 'fail'));
    assert.equal(nodes.count('SET'), 0, 'nothing is sent past the deadline');
  });
});

test('a deadline that is none is refused, and one that has passed sends nothing', async () => {
  await withClient({}, async (client, nodes) => {
    for (const deadlineMs of [Number.NaN, Infinity, 2 ** 31, '5' as unknown as number]) {
      assert.equal((await failure(client.get('a', { deadlineMs }))).code, 'invalid', String(deadlineMs));
    }
    for (const deadlineMs of [0, -1]) {
      const error = await failure(client.put('a', 1, { deadlineMs }));
      assert.deepEqual([error.code, error.outcome, error.retryable], ['deadline-exceeded', 'fail', true]);
    }
    assert.equal(nodes.count('GET') + nodes.count('SET'), 0);
  });
});

test('a write of unknown outcome is sent again unless its consistency is strict, or somebody said', async () => {
  const cases: [Partial<ConnectOptions<unknown>>, object, object, boolean][] = [
    [{}, {}, {}, true],
    [{}, {}, { consistency: 'PA/EC' }, true],
    [{}, {}, { consistency: 'PC/EC' }, false],
    [{}, {}, { consistency: { r: 2, w: 2, quorum: 'strict' } }, false],
    [{}, {}, { consistency: { preset: 'PC/EL', quorum: 'sloppy' } }, true],
    [{}, { consistency: 'PC/EL' }, {}, false],
    [{}, { consistency: 'PC/EL' }, { consistency: 'PA/EL' }, true],
    [{ consistency: 'PC/EC' }, {}, {}, false],
    [{ consistency: 'PC/EC' }, { consistency: 'PA/EC' }, {}, true],
    [{ consistency: 'PC/EC' }, {}, { repeat: true }, true],
    [{ consistency: 'PC/EC', repeatWrites: true }, {}, {}, true],
    [{ repeatWrites: false }, {}, {}, false],
    [{ repeatWrites: false }, { repeatWrites: true }, {}, true],
    [{}, { repeatWrites: true }, { repeat: false }, false],
  ];
  for (const [ofClient, ofSpace, ofCall, isRepeated] of cases) {
    await withClient(ofClient, async (client, nodes) => {
      let unknowns = 1;
      nodes.script = (words) =>
        words.includes('SET') && unknowns-- > 0 ? new ErrorReply('UNKNOWN', 'half written') : 'default';
      const put = client.space('s:', ofSpace).put('a', 1, ofCall);
      const outcome = await put.then(
        () => 'ok',
        (error: DureError) => error.outcome,
      );
      assert.equal(outcome, isRepeated ? 'ok' : 'unknown', JSON.stringify([ofClient, ofSpace, ofCall]));
    });
  }
});

test('a node that refuses everything does not use up the budget, and is found again', async () => {
  await withClient({ retryBudget: { share: 0, reserve: 30 } }, async (client, nodes) => {
    let refuses = true;
    nodes.script = (words, { index }) =>
      refuses && index === 0 && words[0] === 'SET' ? new ErrorReply('TRYAGAIN', 'no quorum') : 'default';
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    for (let round = 0; round < 30; round++) {
      await Promise.all(keys.map((key) => client.put(key, round)));
      await delay(10);
    }
    const { failures, retries } = client.metrics();
    assert.equal(failures, 0);
    assert.ok(retries > 0 && retries <= 30, `${retries} repetitions`);
    // Where all refuse, all are tried all the same.
    nodes.script = (words) => (words[0] === 'SET' ? new ErrorReply('TRYAGAIN', 'no quorum') : 'default');
    const once = await connect({ nodes: nodes.addresses, retryBudget: { attemptsMax: 3 } });
    await until(() => once.metrics().connectionsMade === 2, 'connected');
    assert.match((await failure(once.put('a', 1))).message, /3 attempts/);
    assert.match((await failure(once.put('a', 1))).message, /3 attempts/);
    await once.close();
    refuses = false;
    nodes.script = () => 'default';
    const before = nodes.nodes[0]!.seen.length;
    await until(async () => {
      await Promise.all(keys.map((key) => client.put(key, 0)));
      return nodes.nodes[0]!.seen.slice(before).some(([name]) => name === 'SET');
    }, 'used again');
  });
});

test('the policies of the cluster say which keys are strict, and are asked for again', async () => {
  const nodes = await FakeNodes.start(1);
  let policies: [string, string][] = [
    ['', 'PC/EC'],
    ['loose:', 'PA/EC SIBLINGS'],
    ['loose:not:', 'R=3 W=1 STRICT SIBLINGS-READ=ERROR'],
    ['é:', 'R=2 W=2 SLOPPY'],
  ];
  nodes.script = (words) => {
    if (words[0] === 'SET') return new ErrorReply('UNKNOWN', 'half written');
    if (words[0] !== 'DURE.POLICY') return 'default';
    return policies.map(
      ([prefix, policy]) =>
        new MapReply([
          ['prefix', utf8Bytes(prefix)],
          ['policy', policy],
          ['set-at', 0],
        ]),
    );
  };
  const near = { entriesMax: 100, bytesMax: 100_000, ttlMs: 60_000 };
  const options = { retryBudget: { attemptsMax: 2 }, topologyRefreshMs: 20, nearCache: near };
  const client = await connect({ nodes: nodes.addresses, ...options });
  const isRepeated = async (key: string): Promise<boolean> => {
    const before = nodes.nodes[0]!.seen.filter((words) => words.includes('SET')).length;
    assert.equal((await failure(client.put(key, 1))).outcome, 'unknown');
    return nodes.nodes[0]!.seen.filter((words) => words.includes('SET')).length - before > 1;
  };
  const isNoted = async (key: string): Promise<boolean> => {
    const before = client.metrics().nearHits;
    for (let i = 0; i < 2; i++) await client.get(key);
    return client.metrics().nearHits > before;
  };
  try {
    for (const [key, isStrict] of [
      ['any', true],
      ['loose:a', false],
      ['loose:not:a', true],
      ['é:a', false],
    ] as const) {
      assert.equal(await isRepeated(key), !isStrict, key);
      assert.equal(await isNoted(key), !isStrict, key);
    }
    policies = [['loose:', 'PC/EL']];
    await until(async () => !(await isRepeated('loose:a')), 'the change is known');
    assert.ok(await isRepeated('any'));
  } finally {
    await client.close();
    await nodes.close();
  }
});

test('what a repeated write can do: an old value comes back, while the call is under way and no later', async () => {
  for (const repeat of [true, false]) {
    await withClient({}, async (client, nodes) => {
      const other = await connect<number>({ nodes: nodes.addresses });
      let isFirst = true;
      nodes.script = (words) => {
        if (words[0] !== 'SET' || words[2] !== '1' || !isFirst) return 'default';
        // Applied, and the answer is lost.
        isFirst = false;
        nodes.set('a', bytesOf('1'), () => true);
        return 'silence';
      };
      const put = client.put('a', 1, { repeat });
      await until(async () => (await other.get('a')) === 1, 'applied');
      await other.put('a', 2);
      for (const node of nodes.nodes) node.cut();
      if (repeat) await put;
      else assert.equal((await failure(put)).outcome, 'unknown');
      assert.equal(await other.get('a'), repeat ? 1 : 2);
      await other.close();
    });
  }
});
