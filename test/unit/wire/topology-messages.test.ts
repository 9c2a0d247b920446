/** Messages about the topology: what is written is read, and nonsense is refused. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ByteReader, ByteWriter } from '../../../src/base/bytes.ts';
import type { AcceptorAnswer } from '../../../src/paxos/acceptor.ts';
import { VALUE_BYTES_MAX } from '../../../src/paxos/acceptor.ts';
import {
  readAccept,
  readAnswer,
  readAsk,
  readPrepare,
  readTopology,
  TOPOLOGY_ACCEPT,
  TOPOLOGY_ACCEPTED,
  TOPOLOGY_ASK,
  TOPOLOGY_PREPARE,
  TOPOLOGY_PROMISE,
  TOPOLOGY_REFUSED,
  TOPOLOGY_TOPOLOGY,
  writeAccept,
  writeAnswer,
  writeAsk,
  writePrepare,
  writeTopology,
} from '../../../src/wire/topology-messages.ts';

const ballot = { round: 7, node: 'nöde', draw: 0xffff_ffff };
const other = { round: 9, node: 'n2', draw: 0 };
const value = new Uint8Array([1, 2, 3]);

/** The body of a message, after checking its head. */
function bodyOf(type: number, write: (writer: ByteWriter) => void): ByteReader {
  const writer = new ByteWriter();
  write(writer);
  const reader = new ByteReader(writer.take());
  assert.equal(reader.u8(), type);
  assert.equal(reader.u32(), 0);
  return reader;
}

function whole<T>(reader: ByteReader, read: (reader: ByteReader) => T): T {
  const message = read(reader);
  assert.equal(reader.remaining, 0, 'all of it and no more');
  return message;
}

describe('messages about the topology', () => {
  it('come back as they were', () => {
    const prepare = bodyOf(TOPOLOGY_PREPARE, (writer) => writePrepare(writer, 5, ballot));
    assert.deepEqual(whole(prepare, readPrepare), { epoch: 5, ballot });
    const accept = bodyOf(TOPOLOGY_ACCEPT, (writer) => writeAccept(writer, 5, ballot, value));
    assert.deepEqual(whole(accept, readAccept), { epoch: 5, ballot, value });
    const ask = bodyOf(TOPOLOGY_ASK, (writer) => writeAsk(writer, 0xffff_ffff));
    assert.equal(whole(ask, readAsk), 0xffff_ffff);
    const topology = bodyOf(TOPOLOGY_TOPOLOGY, (writer) => writeTopology(writer, value));
    assert.deepEqual(whole(topology, readTopology), value);
  });

  it('answers come back as they were', () => {
    const answers: [number, AcceptorAnswer][] = [
      [TOPOLOGY_PROMISE, { kind: 'promised', ballot, vote: undefined }],
      [TOPOLOGY_PROMISE, { kind: 'promised', ballot, vote: { ballot: other, value } }],
      [TOPOLOGY_ACCEPTED, { kind: 'accepted', ballot }],
      [TOPOLOGY_REFUSED, { kind: 'refused', ballot, promised: other }],
    ];
    for (const [type, answer] of answers) {
      const reader = bodyOf(type, (writer) => writeAnswer(writer, 3, answer));
      assert.deepEqual(
        whole(reader, (body) => readAnswer(type, body)),
        { epoch: 3, answer },
      );
    }
  });

  it('are not believed when they are cut short, or say what makes no sense', () => {
    const writer = new ByteWriter();
    writeAnswer(writer, 3, { kind: 'promised', ballot, vote: { ballot: other, value } });
    const bytes = writer.take().slice(5);
    for (let length = 0; length < bytes.length; length++) {
      const reader = new ByteReader(bytes.subarray(0, length));
      assert.throws(() => readAnswer(TOPOLOGY_PROMISE, reader), { code: 'protocol' }, `${length} bytes`);
    }
    bytes[bytes.length - value.length - 4 - 12 - 1]! = 2;
    const strange = new ByteReader(bytes);
    assert.throws(() => readAnswer(TOPOLOGY_PROMISE, strange), { code: 'protocol' });
    const long = bodyOf(TOPOLOGY_TOPOLOGY, (body) =>
      writeTopology(body, new Uint8Array(VALUE_BYTES_MAX + 1)),
    );
    assert.throws(() => readTopology(long), { code: 'protocol' });
  });

  it('bring values that outlive their frame', () => {
    const writer = new ByteWriter();
    writeTopology(writer, value);
    const frame = writer.take();
    const read = readTopology(new ByteReader(frame, 5));
    frame.fill(0);
    assert.deepEqual(read, value);
  });
});
