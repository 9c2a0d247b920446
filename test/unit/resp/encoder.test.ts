/** The reply encoder: each kind of value, byte for byte, in both protocols. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../../../src/base/assert.ts';
import { ByteWriter, byteString, bytesOf } from '../../../src/base/bytes.ts';
import { encodeReply, writeArrayHeader, writeBulk, writeNull } from '../../../src/resp/encoder.ts';
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  NULL_ARRAY,
  OK,
  PONG,
  PushReply,
  QUEUED,
  type RespValue,
  SetReply,
  SimpleString,
  VerbatimReply,
} from '../../../src/resp/value.ts';

function encoded(value: RespValue, protocol: 2 | 3): string {
  const writer = new ByteWriter(1);
  encodeReply(writer, value, protocol);
  return byteString(writer.view());
}

const vectors: [value: RespValue, resp2: string, resp3?: string][] = [
  [null, '$-1\r\n', '_\r\n'],
  [NULL_ARRAY, '*-1\r\n', '_\r\n'],
  [0, ':0\r\n'],
  [-0, ':0\r\n'],
  [-12, ':-12\r\n'],
  [2147483647, ':2147483647\r\n'],
  [2147483648, ':2147483648\r\n'],
  [-2147483648, ':-2147483648\r\n'],
  [Number.MAX_SAFE_INTEGER, ':9007199254740991\r\n'],
  [2n ** 63n - 1n, ':9223372036854775807\r\n'],
  [-(2n ** 63n), ':-9223372036854775808\r\n'],
  [2n ** 63n, '$19\r\n9223372036854775808\r\n', '(9223372036854775808\r\n'],
  [true, ':1\r\n', '#t\r\n'],
  [false, ':0\r\n', '#f\r\n'],
  ['', '$0\r\n\r\n'],
  ['hello', '$5\r\nhello\r\n'],
  ['é', '$2\r\n\xc3\xa9\r\n'],
  ['ab한', '$5\r\nab\xed\x95\x9c\r\n'],
  [bytesOf('\r\n\0\xff'), '$4\r\n\r\n\0\xff\r\n'],
  [OK, '+OK\r\n'],
  [PONG, '+PONG\r\n'],
  [QUEUED, '+QUEUED\r\n'],
  [new SimpleString('a\r\nb'), '+a  b\r\n'],
  [new ErrorReply('ERR', 'no\r\nway'), '-ERR no  way\r\n'],
  [new ErrorReply('NOAUTH', ''), '-NOAUTH\r\n'],
  [new DoubleReply(1.5), '$3\r\n1.5\r\n', ',1.5\r\n'],
  [new DoubleReply(-Infinity), '$4\r\n-inf\r\n', ',-inf\r\n'],
  [[], '*0\r\n'],
  [[1, 'a', [null]], '*3\r\n:1\r\n$1\r\na\r\n*1\r\n$-1\r\n', '*3\r\n:1\r\n$1\r\na\r\n*1\r\n_\r\n'],
  [new MapReply([['a', 1]]), '*2\r\n$1\r\na\r\n:1\r\n', '%1\r\n$1\r\na\r\n:1\r\n'],
  [new SetReply([1, 2]), '*2\r\n:1\r\n:2\r\n', '~2\r\n:1\r\n:2\r\n'],
  [new PushReply(['x']), '*1\r\n$1\r\nx\r\n', '>1\r\n$1\r\nx\r\n'],
  [new VerbatimReply('é'), '$2\r\n\xc3\xa9\r\n', '=6\r\ntxt:\xc3\xa9\r\n'],
];

test('vectors in RESP2 and RESP3', () => {
  for (const [value, resp2, resp3] of vectors) {
    assert.equal(encoded(value, 2), resp2);
    assert.equal(encoded(value, 3), resp3 ?? resp2);
  }
});

test('bulks of every length around the borders', () => {
  for (const length of [0, 1, 9, 10, 31, 32, 33, 99, 100, 999, 1000, 1023, 1024, 99_999, 100_000]) {
    const text = 'v'.repeat(length);
    assert.equal(encoded(bytesOf(text), 2), `$${length}\r\n${text}\r\n`);
    assert.equal(encoded(text, 3), `$${length}\r\n${text}\r\n`);
  }
});

test('replies are appended one after the other', () => {
  const writer = new ByteWriter(1);
  writeArrayHeader(writer, 2);
  writeBulk(writer, bytesOf('a'));
  writeNull(writer, 2);
  encodeReply(writer, OK, 2);
  assert.equal(byteString(writer.take()), '*2\r\n$1\r\na\r\n$-1\r\n+OK\r\n');
});

test('a number that is no safe integer is a bug', () => {
  for (const value of [1.5, 2 ** 53, Number.NaN, Infinity]) {
    assert.throws(() => encoded(value, 2), AssertionError);
  }
});
