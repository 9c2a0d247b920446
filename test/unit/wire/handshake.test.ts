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
  isVersionRefusal,
  versionsOf,
} from '../../../src/wire/handshake.ts';

const mine: HandshakeIdentity = {
  protocolVersion: 5,
  protocolVersionLeast: 4,
  clusterName: 'farm',
  nodeId: 'n1',
  life: 11,
  memberIds: new Set(['n1', 'n2', 'n3']),
  epoch: 7,
};

const hello: Hello = {
  kind: 'hello',
  protocolVersion: 5,
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
    ['a later version', { protocolVersion: 6 }, /^wrong protocol version: "n2" speaks 6, "n1" speaks 4 to 5/],
    [
      'an older version',
      { protocolVersion: 3 },
      /^wrong protocol version: "n2" speaks 3, "n1" speaks 4 to 5/,
    ],
    [
      'a stranger',
      { nodeId: 'n9' },
      /unknown node: "n9".*"n1" knows in epoch 7 \(n1, n2, n3\); .*joined yet/,
    ],
    ['a wrong address', { nodeIdExpected: 'n3' }, /wrong node: "n2" meant to dial "n3" and reached "n1"/],
    ['its own id from another process', { nodeId: 'n1', life: 5 }, /duplicate id.*"n1"/],
    ['itself', { nodeId: 'n1', life: 11 }, /dialled itself/],
  ];
  for (const [name, change, words] of refusals) {
    it(`refuses ${name}`, () => {
      assert.match(checkHello(mine, { ...hello, ...change }) ?? '', words);
    });
  }

  it('welcomes the version before, as long as the members are those of the founding', () => {
    const older = { ...hello, protocolVersion: 4 };
    assert.equal(checkHello({ ...mine, epoch: 1, ...versionsOf(1) }, older), undefined);
    const reason = checkHello({ ...mine, epoch: 2, ...versionsOf(2) }, older) ?? '';
    assert.match(reason, /^wrong protocol version: "n2" speaks 4, "n1" speaks 5; run the same release/);
  });

  it('knows a refusal for the version, by the words that version 4 says', () => {
    const words = 'wrong protocol version: "b" speaks 5, "a" speaks 4; run the same release on both';
    const version4 = { ...mine, ...versionsOf(1, 4), nodeId: 'a' };
    const refusal = checkHello(version4, { ...hello, nodeId: 'b', nodeIdExpected: 'a' });
    assert.equal(refusal, words);
    assert.equal(isVersionRefusal(words), true);
    assert.equal(isVersionRefusal('wrong cluster: "wrong protocol version"'), false);
  });

  it('names a few members of many', () => {
    const memberIds = new Set(Array.from({ length: 100 }, (_, i) => `n${i}`));
    const reason = checkHello({ ...mine, memberIds }, { ...hello, nodeId: 'x' }) ?? '';
    assert.match(reason, /\(n0, n1, n10, n11, n12, n13, n14, n15 and 92 more\)/);
  });
});
