/** Base64url: as Node.js does it, and nothing else is taken for it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { base64UrlOf, bytesOfBase64Url } from '../../../src/base/base64.ts';
import { Prng } from '../../../src/base/prng.ts';

test('bytes of any length and content go there and back, as Node.js writes them', () => {
  const random = new Prng(7);
  for (let length = 0; length < 70; length++) {
    const bytes = Uint8Array.from({ length }, () => random.u32() & 0xff);
    const text = base64UrlOf(bytes);
    assert.equal(text, Buffer.from(bytes).toString('base64url'));
    assert.deepEqual(bytesOfBase64Url(text), bytes);
  }
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(bytesOfBase64Url(base64UrlOf(all)), all);
});

test('what it does not write it does not read', () => {
  for (const text of [
    'A',
    'AAAAA',
    'AB',
    'AAB',
    'A=',
    'AA==',
    'A+AA',
    'A/AA',
    'AA A',
    'AA\n',
    'é',
    '\x00AAA',
    '"AAA',
  ]) {
    assert.equal(bytesOfBase64Url(text), undefined, JSON.stringify(text));
  }
});
