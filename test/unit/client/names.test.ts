/** An option that nobody reads is refused, wherever options are said, and nothing is sent; those of the guide are known. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { connect } from '../../../client/index.ts';
import { BUDGET_NAMES, CALL_NAMES, CONNECT_NAMES, NEAR_CACHE_NAMES } from '../../../client/names.ts';
import { createNode } from '../../../embed/index.ts';
import { failure } from '../../support/failure.ts';
import { FakeNodes } from '../../support/fake-nodes.ts';

/** As plain JavaScript says it. */
// biome-ignore lint/suspicious/noExplicitAny: the types would not have it
const said = (options: unknown): any => options;

test('an option that nobody reads is refused: a value with { ttl: 5 } would be kept for ever', async () => {
  const nodes = await FakeNodes.start(1);
  const client = await connect({ nodes: nodes.addresses });
  try {
    const space = client.space<unknown>('s:');
    const calls: readonly (readonly [string, RegExp, () => Promise<unknown>])[] = [
      ['put', /`ttl` is no option of a call: expected .*ttlMs/, () => client.put('a', 1, said({ ttl: 5 }))],
      ['get', /`freshh` is no option/, () => space.get('a', said({ freshh: true }))],
      ['delete', /`ctx` is no option/, () => client.delete('a', said({ ctx: 'x' }))],
      ['update', /`retries` is no option/, () => space.update('a', () => 1, said({ retries: 1 }))],
      ['getVersions', /`timeout` is no option/, () => client.getVersions('a', said({ timeout: 1 }))],
      ['batch', /`timeout` is no option/, () => client.batch([{ get: 'a' }], said({ timeout: 1 }))],
      ['scan', /`match` is no option of scan/, () => client.scan(said({ match: 'x*' })).next()],
      ['not an object', /a call takes an object/, () => client.get('a', said(5))],
      ['null', /a call takes an object/, () => client.get('a', said(null))],
      ['space', /`code` is no option of a space/, async () => client.space('x:', said({ code: 1 }))],
      [
        'consistency',
        /`quorm` is no option of consistency/,
        () => client.get('a', { consistency: said({ r: 1, w: 1, quorm: 'strict' }) }),
      ],
      [
        'quorum',
        /quorum is one of strict, sloppy/,
        () => client.get('a', { consistency: said({ r: 1, w: 1, quorum: 'STRICT' }) }),
      ],
      [
        'conflicts',
        /conflicts is one of siblings, last-write-wins/,
        () => client.put('a', 1, { consistency: said({ preset: 'PA/EC', conflicts: 'sibling' }) }),
      ],
    ];
    for (const [name, words, call] of calls) {
      const error = await failure(call());
      assert.equal(error.code, 'invalid', name);
      assert.match(error.message, words);
    }
    const [line] = await client.batch([said({ put: 'a', value: 1, ttl: 5 })]);
    assert.ok(line?.ok === false && /`ttl` is no option of a line of a batch/.test(line.error.message));
    assert.equal(client.metrics().requests, 0);
  } finally {
    await client.close({ graceMs: 0 });
    await nodes.close();
  }
});

test('so it is where a client or a node is made', async () => {
  const nodes = ['127.0.0.1:1'];
  const cases: readonly (readonly [Promise<unknown>, RegExp])[] = [
    [connect(said({ nodes, deadlineMS: 3 })), /`deadlineMS` is no option of connect/],
    [connect(said(undefined)), /connect takes an object/],
    [connect(said({ nodes, retryBudget: { shares: 1 } })), /`shares` is no option of retryBudget/],
    [connect(said({ nodes, nearCache: { entries: 1 } })), /`entries` is no option of nearCache/],
    [createNode(said(undefined)), /createNode takes an object/],
  ];
  for (const [made, words] of cases) {
    const error = await failure(made);
    assert.equal(error.code, 'invalid');
    assert.match(error.message, words);
  }
});

test('all options of the guide are known, and no others but those for tests', () => {
  const guide = readFileSync(new URL('../../../docs/client.md', import.meta.url), 'utf8').split(
    '## Options',
  )[1]!;
  const rows = [...guide.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell]) => cell!.match(/[\w.]+/g)!);
  assert.ok(rows.length > 20, `${rows.length} options`);
  const inner = (section: string): string[] =>
    rows.filter((name) => name.startsWith(`${section}.`)).map((name) => name.split('.')[1]!);
  assert.deepEqual(new Set(inner('retryBudget')), BUDGET_NAMES.known);
  assert.deepEqual(new Set(inner('nearCache')), NEAR_CACHE_NAMES.known);
  assert.deepEqual(new Set(rows.map((name) => name.split('.')[0]!)), CONNECT_NAMES.known);
  const ofCall = /Of a call: ([^.]*)\./.exec(guide)![1]!.match(/(?<=`)\w+(?=`)/g)!;
  assert.deepEqual(new Set(ofCall), CALL_NAMES.known);
});
