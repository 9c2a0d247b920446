/** Reads that begin anew when a page of the topology turns, and what is on its way from before. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeTopology } from '../../../src/topology/codec.ts';
import { writeTopology } from '../../../src/wire/topology-messages.ts';
import { textOf } from '../../support/pumped-cluster.ts';
import { TwoLists } from '../../support/two-lists.ts';

const key = 'key';
const blind = { policy: { r: 1, w: 2, strict: true } } as const;

test('what was written back before a read began anew says nothing of what it finds then', () => {
  const cluster = new TwoLists(3);
  /** A write that gets no further than where it is made. */
  const writeAlone = (id: string, text: string): void => {
    const others = cluster.ids.filter((other) => other !== id);
    for (const other of others) cluster.hold(id, other);
    cluster.abandon(cluster.write(id, key, text, blind));
    cluster.pump();
    for (const other of others) cluster.drop(id, other);
    for (const other of others) cluster.release(id, other);
  };
  writeAlone('n3', 'first');
  // What it takes to ask a third.
  for (let i = 0; i < 40; i++) cluster.mustRead('n2', 'other');
  const { node, storage, clock } = cluster.seat('n2');
  storage.automatic = false;
  const page = encodeTopology(cluster.pages[3]!);
  node.frame(
    'n1',
    cluster.forge('n1', 'n2', (writer) => writeTopology(writer, page)),
  );
  cluster.endTurn('n2');
  assert.equal(storage.pending.length, 1, 'the page is being stored');
  for (const other of ['n1', 'n4']) cluster.hold('n2', other);
  const read = cluster.read('n2', key);
  cluster.pump();
  assert.equal(read.isDone, false, 'n2 is to hold the first as well, behind the page');
  for (const other of ['n1', 'n4']) cluster.drop('n2', other);
  cluster.release('n2', 'n4');
  writeAlone('n4', 'second');
  cluster.hold('n3', 'n2');
  storage.complete();
  cluster.endTurn('n2');
  assert.equal(node.topology.epoch, 4);
  cluster.pump();
  // Its own copy is not durable yet, and the other is slow: a third is asked.
  clock.monotonicMs += 200;
  node.tick();
  cluster.pump();
  cluster.hold('n2', 'n3');
  cluster.release('n3', 'n2');
  cluster.pump();
  storage.complete();
  assert.equal(read.isDone, false, 'the second is durable at n4 alone');
  cluster.releaseAll();
  storage.automatic = true;
  while (storage.pending.length > 0) storage.complete();
  cluster.pump();
  assert.equal(textOf(read.value), 'second');
  cluster.finish();
});
