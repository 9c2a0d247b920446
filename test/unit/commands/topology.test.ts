/** DURE.TOPOLOGY: the members and their shares, the change under way, and where a key lives. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advanced, begun } from '../../../src/topology/changes.ts';
import { fakeServer } from '../../support/fake-facts.ts';
import { FakeNode } from '../../support/fake-node.ts';

const newcomer = {
  id: 'n4',
  host: '10.0.0.4',
  respPort: 6374,
  peerPort: 7374,
  httpPort: 8374,
  zone: 'z',
  weight: 2,
};

test('tells the members and what they own', () => {
  const { client } = fakeServer(new FakeNode(3));
  const text = client.ask('dure.topology');
  assert.match(text, /^\*16\|\$5\|epoch\|:1\|\$5\|phase\|\$6\|steady\|\$6\|change\|\$0\|\|\$5\|nodes\|\*0\|/);
  assert.match(text, /\$2\|id\|\$2\|n1\|\$5\|state\|\$6\|owning\|/);
  assert.match(text, /\$8\|replicas\|:1024\|\$13\|replicas-next\|:1024\|/);
});

test('tells a change under way, and where a key lives before and after', () => {
  const node = new FakeNode(3);
  const { client } = fakeServer(node);
  const before = node.table.preferenceList(4440);
  const enrol = begun(node.topology, { kind: 'join', member: newcomer }, 7, 1000).topology;
  node.topology = enrol;
  const waiting = client.ask('dure.topology');
  assert.match(waiting, /:2\|\$5\|phase\|\$5\|enrol\|\$6\|change\|\$4\|join\|/);
  node.topology = advanced(enrol);
  assert.match(
    client.ask('dure.topology'),
    /:3\|\$5\|phase\|\$4\|copy\|\$6\|change\|\$4\|join\|\$5\|nodes\|\*1\|\$2\|n4\|/,
  );
  const owners = (ids: readonly string[]): string =>
    `*${ids.length}|${ids.map((id) => `$2|${id}|`).join('')}`;
  const next = node.topology.next.preferenceList(4440);
  assert.equal(
    client.ask('dure.topology key {user:17}:cart'),
    `*10|$5|epoch|:3|$4|slot|:4440|$9|partition|:277|$6|owners|${owners(before)}$11|owners-next|${owners(next)}`,
  );
});

test('refuses what it does not know', () => {
  const { client } = fakeServer(new FakeNode(3));
  for (const words of ['key', 'slot 4', 'key a b'])
    assert.match(client.ask(`dure.topology ${words}`), /^-ERR syntax error/);
});
