import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CodedError } from '../../../src/base/errors.ts';
import {
  checkHello,
  decodeHandshake,
  encodeHandshake,
  HANDSHAKE_BYTES_MAX,
  type HandshakeIdentity,
  type Hello,
} from '../../../src/wire/handshake.ts';

const mine: HandshakeIdentity = {
  protocolVersion: 1,
  clusterName: 'farm',
  nodeId: 'n1',
  life: 11,
  memberIds: new Set(['n1', 'n2', 'n3']),
};

const hello: Hello = {
  kind: 'hello',
  protocolVersion: 1,
  clusterName: 'farm',
  nodeId: 'n2',
  nodeIdExpected: 'n1',
  life: 22,
};

describe('handshake codec', () => {
  it('reads back what it writes', () => {
    for (const message of [
      hello,
      { kind: 'welcome', nodeId: 'n1', life: 0xffffffff },
      { kind: 'refusal', reason: 'wrong cluster: “x”' },
    ] as const) {
      assert.deepEqual(decodeHandshake(encodeHandshake(message)), message);
    }
  });

  it('keeps a long refusal within the limit of a handshake', () => {
    const frame = encodeHandshake({ kind: 'refusal', reason: 'x'.repeat(100_000) });
    assert.ok(frame.length <= HANDSHAKE_BYTES_MAX);
    assert.equal(decodeHandshake(frame).kind, 'refusal');
  });

  it('refuses any flipped bit and any cut with a coded error', () => {
    const frame = encodeHandshake(hello);
    fc.assert(
      fc.property(fc.nat(frame.length - 1), fc.nat(7), (at, bit) => {
        const flipped = frame.slice();
        flipped[at]! ^= 1 << bit;
        assert.throws(() => decodeHandshake(flipped), CodedError);
      }),
    );
    for (let end = 0; end < frame.length; end++) {
      assert.throws(() => decodeHandshake(frame.subarray(0, end)), CodedError);
    }
  });
});

describe('checkHello', () => {
  it('welcomes a member that reached whom it meant', () => {
    assert.equal(checkHello(mine, hello), undefined);
  });

  const refusals: [string, Partial<Hello>, RegExp][] = [
    ['another cluster', { clusterName: 'town' }, /wrong cluster: "town".*"farm"/],
    [
      'another protocol version',
      { protocolVersion: 2 },
      /wrong protocol version: "n2" speaks 2, "n1" speaks 1/,
    ],
    ['a stranger', { nodeId: 'n9' }, /unknown node: "n9"/],
    ['a wrong address', { nodeIdExpected: 'n3' }, /wrong node: "n2" meant to dial "n3" and reached "n1"/],
    ['its own id from another process', { nodeId: 'n1', life: 5 }, /duplicate id.*"n1"/],
    ['itself', { nodeId: 'n1', life: 11 }, /dialled itself/],
  ];
  for (const [name, change, words] of refusals) {
    it(`refuses ${name}`, () => {
      assert.match(checkHello(mine, { ...hello, ...change }) ?? '', words);
    });
  }
});
