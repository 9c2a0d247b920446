/** Sealed notes: what is damaged says nothing, and what earlier versions left on disks is still read. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Prng } from '../../../src/base/prng.ts';
import { sealed, unsealed, unsealedBody } from '../../../src/base/sealed-note.ts';
import { Identity, identityKey } from '../../../src/node/identity.ts';
import type { Storage } from '../../../src/ports/storage.ts';

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
const hexOf = (note: Uint8Array | undefined): string | undefined =>
  note === undefined ? undefined : Buffer.from(note).toString('hex');

describe('a sealed note', () => {
  it('is its body and the CRC-32 of it', () => {
    // The check value of CRC-32: https://reveng.sourceforge.io/crc-catalogue/all.htm
    assert.equal(hexOf(sealed(new TextEncoder().encode('123456789'))), '313233343536373839cbf43926');
  });

  it('says nothing when any bit of it flips, or bytes are missing', () => {
    const note = sealed(bytes('0102030405'));
    assert.equal(hexOf(unsealedBody(note)), '0102030405');
    assert.equal(hexOf(unsealed(note, 5)), '0102030405');
    for (let bit = 0; bit < note.length * 8; bit++) {
      const damaged = note.slice();
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(unsealedBody(damaged), undefined, `bit ${bit}`);
      assert.equal(unsealed(damaged, 5), undefined, `bit ${bit}`);
    }
    for (let length = 0; length < note.length; length++) {
      assert.equal(unsealedBody(note.subarray(0, length)), undefined);
    }
  });

  it('without a seal is believed only where such notes were once written', () => {
    assert.equal(hexOf(unsealed(bytes('0102030405'), 5)), '0102030405');
    assert.equal(unsealedBody(bytes('0102030405')), undefined);
  });
});

describe('the identity on disks of earlier versions', () => {
  const clockKey = identityKey.replace('identity', 'clock');

  function opened(identity: string, clock: string): Identity {
    const entries = new Map([
      [identityKey, bytes(identity)],
      [clockKey, bytes(clock)],
    ]);
    const storage = { get: (key: string) => entries.get(key) } as unknown as Storage;
    const random = new Prng(1);
    const result = new Identity(new Set());
    result.open(storage, { u32: () => random.u32() });
    return result;
  }

  it('before seals: an actor and a reservation, a mark', () => {
    const { opened: found } = opened('0000000000a7' + '000000100000', '018bcfe56800' + '0003');
    assert.deepEqual(found, {
      isNew: false,
      isDamaged: false,
      generation: 0,
      actor: 0xa7,
      reserved: 0x100000,
      mark: { time: 0x018bcfe56800, logical: 3 },
    });
  });

  it('with seals: byte for byte as they were first written', () => {
    const { opened: found } = opened(
      '0000000000a7' + '000000100000' + '00000002' + 'bd2d197c',
      '018bcfe56800' + '0003' + '44880b67',
    );
    assert.equal(found.isDamaged, false);
    assert.deepEqual([found.actor, found.reserved, found.generation], [0xa7, 0x100000, 2]);
    assert.deepEqual(found.mark, { time: 0x018bcfe56800, logical: 3 });
  });
});
