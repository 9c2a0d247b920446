/**
 * The bytes that nodes of protocol version 4 sent (`test/fixtures/v4/`): they are read, and written again byte for
 * byte to a peer that speaks version 4. Never change the fixture: a release that says that it serves version 4 is
 * held to it here.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { checkFrame, frameEpoch } from '../../../src/wire/frame.ts';
import { checkHello, decodeHandshake, encodeHandshake, versionsOf } from '../../../src/wire/handshake.ts';
import { copyFrame } from '../../support/frame-copy.ts';

const ids = ['n1', 'n2', 'n3', 'n4'];

interface Line {
  readonly from: string;
  readonly to: string;
  readonly what: string;
  readonly bytes: Uint8Array;
}

const lines: readonly Line[] = readFileSync(new URL('../../fixtures/v4/wire.txt', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => {
    const [who, what, bytes] = line.split(' ');
    const [from, to] = who!.split('>');
    return { from: from!, to: to!, what: what!, bytes: new Uint8Array(Buffer.from(bytes!, 'base64')) };
  });
const frames = lines.filter(({ what }) => what !== 'hello' && what !== 'answer');

/** Every message of version 4 but those that only refuse something. */
const contents = (
  'read readEqual readRow readStamp write stored hand ping pong floor scan scanReply count countReply ' +
  'forward_1 forward_2 forward_3 forwardReply_1 forwardReply_2 forwardReply_3 20 21 30 ' +
  '40 41 42 43 44 45 46 47 49 50 51 53 60 61 62 70 71 73 74'
).split(' ');

describe('what nodes of version 4 sent', () => {
  it('is all there', () => {
    const found = new Set(frames.map(({ what }) => what));
    assert.deepEqual(
      contents.filter((what) => !found.has(what)),
      [],
    );
  });

  it('hellos are welcomed, and answers understood; both are written as they were', () => {
    const hellos = lines.filter(({ what }) => what === 'hello');
    assert.ok(hellos.length > 0);
    for (const { from, to, bytes } of hellos) {
      const hello = decodeHandshake(bytes);
      assert.equal(hello.kind, 'hello');
      if (hello.kind !== 'hello') continue;
      const identity = { clusterName: 'fixture', nodeId: to, life: 1, memberIds: new Set(ids) };
      assert.equal(checkHello({ ...identity, ...versionsOf(1), epoch: 1 }, hello), undefined);
      const expected = { protocolVersion: 4, clusterName: 'fixture', nodeId: from, nodeIdExpected: to };
      assert.deepEqual(hello, { kind: 'hello', life: hello.life, ...expected });
      assert.deepEqual(encodeHandshake(hello), bytes);
    }
    const answers = lines.filter(({ what }) => what === 'answer');
    assert.ok(answers.length > 0);
    for (const { to, bytes } of answers) {
      const answer = decodeHandshake(bytes);
      assert.deepEqual([answer.kind, 'nodeId' in answer && answer.nodeId], ['welcome', to]);
      assert.deepEqual(encodeHandshake(answer), bytes);
    }
  });

  for (const what of contents) {
    it(`${what} is read, and written as it was`, () => {
      const some = frames.filter((line) => line.what === what);
      for (const { from, to, bytes } of some) {
        checkFrame(bytes);
        assert.equal(frameEpoch(bytes), 0);
        const copy = copyFrame(bytes, ids);
        assert.ok(copy.names.includes(what.replace('_', ' ')));
        assert.deepEqual(copy.frame, bytes, `${from} to ${to}: ${copy.names.join(', ')}`);
      }
    });
  }

  it('the version of a frame decides how it is read', () => {
    // The same frame, said to be of the present version: its header is longer, so nothing in it fits.
    const later = frames.find(({ what }) => what === 'ping')!.bytes.slice();
    later[8] = 5;
    assert.throws(() => copyFrame(later, ids));
  });
});
