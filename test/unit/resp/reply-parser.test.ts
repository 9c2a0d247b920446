/** The reply parser: each kind of reply, errors, limits. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf } from '../../../src/base/bytes.ts';
import { ProtocolError } from '../../../src/resp/parser.ts';
import { REPLY_LIMITS_DEFAULT, type ReplyLimits, ReplyParser } from '../../../src/resp/reply-parser.ts';
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  NULL_ARRAY,
  OK,
  PushReply,
  type RespValue,
  SetReply,
  SimpleString,
  VerbatimReply,
} from '../../../src/resp/value.ts';

function parse(text: string, limits?: ReplyLimits): RespValue[] {
  const parser = new ReplyParser(limits);
  parser.push(bytesOf(text));
  const replies: RespValue[] = [];
  for (let reply = parser.next(); reply !== undefined; reply = parser.next()) replies.push(reply);
  return replies;
}

const vectors: [text: string, value: RespValue][] = [
  ['+OK\r\n', OK],
  ['+\r\n', new SimpleString('')],
  ['-ERR no way\r\n', new ErrorReply('ERR', 'no way')],
  ['-NOAUTH\r\n', new ErrorReply('NOAUTH', '')],
  ['!8\r\nERR a\r\nb\r\n', new ErrorReply('ERR', 'a  b')],
  [':-5\r\n', -5],
  [':9223372036854775807\r\n', 9223372036854775807n],
  ['$-1\r\n', null],
  ['$0\r\n\r\n', new Uint8Array(0)],
  ['$2\r\n\r\n\r\n', bytesOf('\r\n')],
  ['*-1\r\n', NULL_ARRAY],
  ['*0\r\n', []],
  ['*2\r\n:1\r\n*1\r\n$1\r\na\r\n', [1, [bytesOf('a')]]],
  ['_\r\n', null],
  ['#t\r\n', true],
  ['#f\r\n', false],
  [',1.5\r\n', new DoubleReply(1.5)],
  [',-inf\r\n', new DoubleReply(-Infinity)],
  [',nan\r\n', new DoubleReply(Number.NaN)],
  ['(123456789012345678901234567890\r\n', 123456789012345678901234567890n],
  ['=5\r\ntxt:a\r\n', new VerbatimReply('a')],
  ['%1\r\n+a\r\n:1\r\n', new MapReply([[new SimpleString('a'), 1]])],
  ['%0\r\n', new MapReply([])],
  ['~1\r\n:1\r\n', new SetReply([1])],
  ['>2\r\n+a\r\n:1\r\n', new PushReply([new SimpleString('a'), 1])],
  ['|1\r\n+ttl\r\n:10\r\n*1\r\n|0\r\n:7\r\n', [7]],
];

test('vectors, whole and byte by byte', () => {
  for (const [text, value] of vectors) {
    assert.deepEqual(parse(text), [value], JSON.stringify(text));
    const parser = new ReplyParser();
    for (let i = 0; i < text.length; i++) {
      assert.equal(parser.next(), undefined);
      parser.push(bytesOf(text[i]!));
    }
    assert.deepEqual(parser.next(), value, JSON.stringify(text));
    assert.equal(parser.bufferedBytes, 0);
  }
});

test('broken replies are protocol errors', () => {
  const broken = [
    ...['\r\n', 'hello\r\n', ':\r\n', ':1.5\r\n', ':+1\r\n', '#x\r\n', '_x\r\n', ',x\r\n', '(x\r\n', '+a\rb'],
    ...['$-2\r\n', '$x\r\n', '$1\r\nabc', '*-2\r\n', '*x\r\n', '%-1\r\n', '~-1\r\n', '*?\r\n', '$?\r\n'],
    ...['*9007199254740993\r\n', '=3\r\nabc\r\n', '=5\r\ntxt-a\r\n', '$999999999999\r\n', '*1\r\nx\r\n'],
  ];
  for (const text of broken) assert.throws(() => parse(text), ProtocolError, JSON.stringify(text));
});

test('limits: depth, values, bulk, line, reply', () => {
  const nested = (depth: number) => `${'*1\r\n'.repeat(depth)}:1\r\n`;
  assert.equal(parse(nested(32)).length, 1);
  assert.throws(() => parse(nested(33)), /too deep/);
  const tight = {
    ...REPLY_LIMITS_DEFAULT,
    valuesMax: 3,
    bulkBytesMax: 8,
    lineBytesMax: 10,
    replyBytesMax: 24,
  };
  assert.equal(parse('*2\r\n:1\r\n:2\r\n*2\r\n:1\r\n:2\r\n', tight).length, 2);
  assert.throws(() => parse('*4\r\n', tight), /invalid multibulk length/);
  assert.throws(() => parse('*2\r\n*1\r\n:1\r\n:2\r\n', tight), /too many values/);
  assert.throws(() => parse('$9\r\n', tight), /invalid bulk length/);
  assert.throws(() => parse('+0123456789ab\r\n', tight), /too big line/);
  assert.throws(() => parse('*2\r\n$8\r\n12345678\r\n$8\r\n', tight), /too big reply/);
});

test('after an error the parser is dead', () => {
  const parser = new ReplyParser();
  parser.push(bytesOf('x\r\n+OK\r\n'));
  assert.throws(() => parser.next(), ProtocolError);
  parser.push(bytesOf('+OK\r\n'));
  assert.throws(() => parser.next(), ProtocolError);
  assert.equal(parser.bufferedBytes, 0);
});
