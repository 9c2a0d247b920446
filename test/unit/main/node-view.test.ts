/** What `dure node` and `dure ring` show: the bar of a change, advice, the members, the ring and the place of a key. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { listsJson, type TopologyAnswer, topologyAnswer } from '../../../src/http/api/topology-json.ts';
import {
  changeEnd,
  changeLine,
  changeName,
  endWords,
  membersTable,
  waitAdvice,
} from '../../../src/main/node-view.ts';
import { placeOf, renderRing } from '../../../src/main/ring.ts';
import { type MoveSum, moveSumOf } from '../../../src/main/topology-fetch.ts';
import { advanced, begun } from '../../../src/topology/changes.ts';
import { FakeNode } from '../../support/fake-node.ts';

const newcomer = {
  id: 'n4',
  host: '::1',
  respPort: 6374,
  peerPort: 7374,
  httpPort: 8374,
  zone: 'z2',
  weight: 1,
};

function growing(phase: 'enrol' | 'copy' = 'copy'): FakeNode {
  const node = new FakeNode(3);
  const { topology } = begun(node.topology, { kind: 'join', member: newcomer }, 7, 1000);
  node.topology = phase === 'enrol' ? topology : advanced(topology);
  return node;
}

function sum(part: Partial<MoveSum> = {}): MoveSum {
  return {
    partitions: 500,
    partitionsDone: 210,
    bytes: 12 * 1024 * 1024,
    bytesLeft: 20 * 1024 * 1024,
    bytesPerSecond: 4 * 1024 * 1024,
    waitsFor: [],
    strays: 0,
    fetching: [{ node: 'n4', partitions: 500, done: 210 }],
    ...part,
  };
}

describe('a change as dure node shows it', () => {
  test('draws how far it is', () => {
    const answer = topologyAnswer(growing());
    assert.match(
      changeLine(answer, sum()),
      /^join of n4 \[█{10}─{14}\] 42 % · 210 of 500 partitions · 12\.0 MiB · 4\.0 MiB\/s · 5\.0s left$/,
    );
    const fetching = [
      { node: 'n1', partitions: 10, done: 5 },
      { node: 'n4', partitions: 490, done: 205 },
    ];
    assert.match(changeLine(answer, sum({ fetching })), / · n1 50 %, n4 41 %$/);
    assert.match(changeLine(answer, sum({ partitions: 0, partitionsDone: 0 })), /nothing is fetched yet$/);
    assert.match(changeLine({ ...answer, phase: 'switch' }, sum()), /owners are changing over$/);
    assert.equal(changeLine({ ...answer, phase: 'steady' }, sum()), 'join of n4: done');
  });

  test('says whom it waits for, and what to do', () => {
    const answer = topologyAnswer(growing());
    const waiting = sum({ waitsFor: ['n2'] });
    assert.match(changeLine(answer, waiting), / · waits for n2$/);
    const advice = waitAdvice(waiting, answer);
    assert.match(advice, /^n2 is waited for: .*"dure node remove n2", or .*"dure node cancel"/);
    assert.doesNotMatch(waitAdvice(waiting, { ...answer, phase: 'switch' }), /cancel/);
    assert.equal(waitAdvice(sum(), answer), '');
  });

  test('tells that a newcomer is waited for', () => {
    const answer = topologyAnswer(growing('enrol'));
    const none = { partitions: 0, partitionsDone: 0 };
    assert.match(changeLine(answer, sum(none)), /^join of n4 \[─{24}\] · n4 is taken in$/);
    const away = sum({ ...none, waitsFor: ['n4'] });
    assert.match(changeLine(answer, away), / · waits for n4 to start$/);
    assert.match(waitAdvice(away, answer), /before n4 is there\. Start it; or, .*"dure node cancel"/);
    const more = sum({ ...none, waitsFor: ['n2', 'n4'] });
    assert.match(changeLine(answer, more), / · waits for n4 to start · waits for n2$/);
    assert.match(waitAdvice(more, answer), /n2, n4 are waited for: .* or give the change up/);
    assert.match(membersTable(answer), /^n4 +joining /m);
  });

  test('adds up what the nodes tell that know the latest epoch', () => {
    const answer = topologyAnswer(growing());
    const members = answer.members.map((member) => ({ ...member, live: true }));
    const moves = {
      ...answer.moves,
      epoch: 3,
      partitions: 10,
      partitionsDone: 4,
      bytes: 100,
      waitsFor: ['n3'],
    };
    const answers: TopologyAnswer[] = [
      { ...answer, node: 'n4', moves, members },
      { ...answer, node: 'n1', moves: { ...moves, partitions: 0, partitionsDone: 0, waitsFor: [] }, members },
      { ...answer, node: 'n2', epoch: 2, moves: { ...moves, partitions: 99 }, members },
    ];
    const all = moveSumOf(answers);
    assert.equal(all.partitions, 10);
    assert.equal(all.partitionsDone, 4);
    assert.deepEqual(all.fetching, [{ node: 'n4', partitions: 10, done: 4 }]);
    assert.deepEqual(all.waitsFor, ['n2', 'n3']);
  });

  test('names changes, their end and the members', () => {
    assert.equal(changeName({ kind: 'replace', nodes: ['n5'], gone: ['n2'] }), 'replacement of n2 by n5');
    const answer = topologyAnswer(growing());
    assert.match(
      endWords(answer.change, answer, 1024, 2000),
      /^join of n4: done after 2.*s, 1\.0 KiB fetched\. Epoch 3, 4 members in 1 zone\.$/,
    );
    // Given up is not done, and what follows is not what was looked at.
    const change = answer.change!;
    const givenUp = { ...answer, change: { ...change, cancelled: true } } as const;
    assert.equal(changeEnd(change, givenUp), 'cancelled');
    assert.match(endWords(change, givenUp, 1024, 2000), /^join of n4: given up; .* Epoch 3, 4 members/);
    const members = (state: 'owning' | 'joining') =>
      answer.members.map((member) => (member.id === 'n4' ? { ...member, state } : member));
    const other = { ...change, id: change.id + 1, nodes: ['n9'] };
    const joined = { ...answer, change: other, members: members('owning') };
    assert.equal(changeEnd(change, joined), 'done');
    assert.match(endWords(change, joined, 0, 2000), /^join of n4: done after /);
    assert.equal(changeEnd(change, { ...joined, members: members('joining') }), 'cancelled');
    assert.equal(changeEnd({ ...change, kind: 'leave' }, joined), 'cancelled');
    assert.equal(changeEnd({ ...change, kind: 'weight' }, joined), 'unknown');
    assert.match(endWords({ ...change, kind: 'weight' }, joined, 0, 2000), /another change followed/);
    const table = membersTable(answer);
    assert.match(table, /^n4 +joining +z2 +1 +0 → \d+ +0 → \d+ +\[::1\]:6374, HTTP 8374/m);
    assert.match(table, /^n1 +owning +z +1 +\d+ → \d+ +1024 → \d+/m);
  });
});

describe('dure ring', () => {
  test('draws every partition, and marks where a key lives', () => {
    const node = new FakeNode(3);
    const answer = topologyAnswer(node);
    const lists = listsJson(node.topology);
    const place = placeOf(answer, lists, '{user:17}:cart');
    assert.equal(place.slot, 4440);
    assert.equal(place.hashed, 'user:17');
    assert.deepEqual(place.owners, node.table.preferenceList(4440));
    const text = renderRing(answer, lists, place, { width: 100, color: false });
    const strip = [...text.matchAll(/│([ABC]+)│/g)].map(([, cells]) => cells).join('');
    assert.equal(strip.length, 1024);
    assert.equal(strip[277], 'ABC'[['n1', 'n2', 'n3'].indexOf(place.owners[0]!)]);
    const lines = text.split('\n');
    const mark = lines.findIndex((line) => line.includes('▲'));
    assert.equal(lines[mark]!.indexOf('▲') - lines[mark - 1]!.indexOf('│') - 1, 277 % 64);
    assert.match(text, /lies in slot 4440, by its hash tag user:17, partition 277, at\n {2}1\. /);
    assert.ok(lines.every((line) => line.length <= 100));
  });

  test('shows both owners while a partition moves', () => {
    const node = growing();
    const answer = topologyAnswer(node);
    const lists = listsJson(node.topology);
    const places = Array.from({ length: 200 }, (_, i) => placeOf(answer, lists, `key:${i}`));
    const moving = places.find(({ ownersNext }) => ownersNext?.includes('n4'));
    assert.ok(moving !== undefined);
    const text = renderRing(answer, lists, moving, { width: 80, color: false });
    assert.match(text, /after the change under way at/);
  });

  test('colours by owner, and says the same without', () => {
    const node = new FakeNode(3);
    const render = (color: boolean): string =>
      renderRing(topologyAnswer(node), listsJson(node.topology), undefined, { width: 100, color });
    const sequence = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
    assert.notEqual(render(true), render(false));
    assert.equal(render(true).replace(sequence, ''), render(false));
  });
});
