/** What the hint desk believes of a HINT: forged ones are refused, broken ones end the pipe. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ByteReader, ByteWriter } from '../../../src/base/bytes.ts';
import type { ErrorCode } from '../../../src/base/errors.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { rowKeyOf } from '../../../src/rows/key.ts';
import { encodeRow } from '../../../src/rows/row.ts';
import { HINT, readHint, writeHint } from '../../../src/wire/hint-messages.ts';
import { decodeMessages, type MessageHandler, writeFamilyHead } from '../../../src/wire/messages.ts';
import { PumpedCluster, textBody } from '../../support/pumped-cluster.ts';

const rowKey = rowKeyOf('plum');

function rowAt(time: number): Uint8Array {
  return encodeRow(rowKey, textBody('blue'), { time, logical: 0, actor: 9, counter: 1 });
}

/** What n1 answers to a HINT that n2 seems to have sent: `stored`, a code, or `reset`. */
function answerTo(cluster: PumpedCluster, write: (writer: ByteWriter) => void): string {
  const seat = cluster.seat('n1');
  cluster.hold('n1', 'n2');
  const resets = seat.resets.length;
  seat.node.frame('n2', cluster.forge('n2', 'n1', write));
  for (let i = 0; i < 5; i++) cluster.endTurn('n1');
  if (seat.resets.length > resets) return 'reset';
  let answer = 'nothing';
  const handler = new Proxy({} as MessageHandler<undefined>, {
    get: (_target, name) => (_peer: unknown, id: number, code: ErrorCode) => {
      if (id === 77) answer = name === 'refused' ? code : String(name);
    },
  });
  for (const frame of cluster.waiting('n1', 'n2')) decodeMessages(frame, undefined, handler);
  cluster.drop('n1', 'n2');
  return answer;
}

describe('a HINT', () => {
  test('comes out as it went in, and one cut short is an error', () => {
    const writer = new ByteWriter();
    const row = rowAt(1000);
    writeHint(writer, 5, 'n3', rowKey, row);
    const bytes = writer.take();
    const reader = new ByteReader(bytes);
    assert.equal(reader.u8(), HINT);
    assert.equal(reader.u32(), 5);
    const read = readHint(reader);
    assert.deepEqual([read.target, read.rowKey, [...read.row]], ['n3', rowKey, [...row]]);
    assert.equal(reader.remaining, 0);
    for (let end = 5; end < bytes.length; end++) {
      assert.throws(() => readHint(new ByteReader(bytes, 5, end)), CodedError, `cut at ${end}`);
    }
  });

  test('is kept if its row is whole, believed and for a member; else it says why not', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const wall = cluster.seat('n1').clock.wallMs;
    const hint = (target: string, row: Uint8Array) =>
      answerTo(cluster, (writer) => writeHint(writer, 77, target, rowKey, row));
    assert.equal(hint('n3', rowAt(wall)), 'stored');
    assert.equal(hint('n1', rowAt(wall)), 'unsupported', 'for itself');
    assert.equal(hint('n9', rowAt(wall)), 'unsupported', 'for nobody');
    assert.equal(hint('n3', rowAt(wall + 10_000)), 'clock-offset');
    const damaged = rowAt(wall).slice();
    damaged[33]! ^= 1;
    assert.equal(hint('n3', damaged), 'corrupt');
    assert.equal(cluster.node('n1').figures().hints, 1);
    cluster.finish();
  });

  test('that makes no sense breaks the pipe', () => {
    const cluster = new PumpedCluster({ nodes: 5 });
    const row = rowAt(cluster.seat('n1').clock.wallMs);
    assert.equal(
      answerTo(cluster, (writer) => writeHint(writer, 77, 'n3', 'no row key', row)),
      'reset',
    );
    cluster.pump();
    assert.equal(
      answerTo(cluster, (writer) => writeHint(writer, 77, 'n3', rowKey, row.subarray(0, 20))),
      'reset',
    );
    cluster.pump();
    assert.equal(
      answerTo(cluster, (writer) => writeFamilyHead(writer, HINT + 9, 77)),
      'reset',
    );
    assert.equal(cluster.node('n1').figures().hints, 0);
    cluster.finish();
  });
});
