/**
 * The request parser against vectors: those of Redis's own unit/protocol.tcl, each limit, each error, and
 * what must not be copied or allocated.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { byteString, bytesOf } from '../../../src/base/bytes.ts';
import {
  ProtocolError,
  REQUEST_LIMITS_DEFAULT,
  REQUEST_LIMITS_UNAUTHENTICATED,
  type RequestLimits,
  RequestParser,
} from '../../../src/resp/parser.ts';

/** All commands in `text`, and the error that ends it, if any. */
function parse(text: string, limits?: RequestLimits): { commands: string[][]; error?: string } {
  const parser = new RequestParser(limits);
  parser.push(bytesOf(text));
  const commands: string[][] = [];
  try {
    for (let words = parser.next(); words !== undefined; words = parser.next()) {
      commands.push(words.map((word) => byteString(word)));
    }
  } catch (error) {
    assert.ok(error instanceof ProtocolError);
    return { commands, error: error.message };
  }
  return { commands };
}

const vectors: [text: string, commands: string[][], error?: string][] = [
  ['*1\r\n$4\r\nPING\r\n', [['PING']]],
  ['*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n', [['GET', 'a'], ['PING']]],
  ['*2\r\n$4\r\nECHO\r\n$0\r\n\r\n', [['ECHO', '']]],
  ['*2\r\n$4\r\nECHO\r\n$6\r\n\r\n\0\xff\r\n\r\n', [['ECHO', '\r\n\0\xff\r\n']]],
  ['PING\r\n', [['PING']]],
  ['PING\n', [['PING']]],
  ['\r\n\n  \t\r\nPING\r\n', [['PING']]],
  ['*0\r\n*-1\r\n*-10\r\n*1\r\n$4\r\nPING\r\n', [['PING']]],
  ['  set   a\tb  \r\n', [['set', 'a', 'b']]],
  ['set a "x y\\n\\x41\\"\\q\\x4"\n', [['set', 'a', 'x y\nA"qx4']]],
  ["set a 'x \\' \\n \"'\n", [['set', 'a', 'x \' \\n "']]],
  ['set "" \'\'\n', [['set', '', '']]],
  ['ab"c d"\n', [['abc d']]],
  [
    'POST / HTTP/1.1\r\nHost: x\r\n',
    [
      ['POST', '/', 'HTTP/1.1'],
      ['Host:', 'x'],
    ],
  ],
  ['set """test-key""" test-value\r\nping\r\n', [], 'Protocol error: unbalanced quotes in request'],
  ['set "a\n', [], 'Protocol error: unbalanced quotes in request'],
  ["set 'a'b\n", [], 'Protocol error: unbalanced quotes in request'],
  ['*3000000000\r\n', [], 'Protocol error: invalid multibulk length'],
  ['*1048577\r\n', [], 'Protocol error: invalid multibulk length'],
  ['*\r\n', [], 'Protocol error: invalid multibulk length'],
  ['*01\r\n', [], 'Protocol error: invalid multibulk length'],
  ['*+1\r\n', [], 'Protocol error: invalid multibulk length'],
  ['*-0\r\n', [], 'Protocol error: invalid multibulk length'],
  ['*1 \r\n', [], 'Protocol error: invalid multibulk length'],
  ['*1\rx', [], 'Protocol error: invalid multibulk length'],
  ['*1\r\n$-10\r\n', [], 'Protocol error: invalid bulk length'],
  ['*1\r\n$2000000000\r\n', [], 'Protocol error: invalid bulk length'],
  ['*1\r\n$blabla\r\n', [], 'Protocol error: invalid bulk length'],
  ['*1\r\n$\r\n', [], 'Protocol error: invalid bulk length'],
  ['*1\r\n$04\r\nPING\r\n', [], 'Protocol error: invalid bulk length'],
  ['*1\r\nfoo\r\n', [], "Protocol error: expected '$', got 'f'"],
  ['*1\r\n\r\n', [], "Protocol error: expected '$', got '\\x0d'"],
  ['*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n', [], "Protocol error: expected '$', got 'f'"],
  ['*1\r\n*1\r\n*1\r\n', [], "Protocol error: expected '$', got '*'"],
  ['*1\r\n$4\r\nPINGS\r\n', [], 'Protocol error: expected CRLF after bulk'],
  ['*1\r\n$4\r\nPING\r\nx y\n*zz\r\n', [['PING'], ['x', 'y']], 'Protocol error: invalid multibulk length'],
];

test('vectors: commands and errors as Redis gives them', () => {
  for (const [text, commands, error] of vectors) {
    const expected = error === undefined ? { commands } : { commands, error };
    assert.deepEqual(parse(text), expected, JSON.stringify(text));
  }
});

test('lines: 64 KiB are taken, a byte more is too big', () => {
  const longest = 64 * 1024;
  assert.deepEqual(parse(`${'a'.repeat(longest)}\n`).commands[0]?.[0]?.length, longest);
  assert.equal(parse('a'.repeat(longest)).error, undefined);
  assert.equal(parse('a'.repeat(longest + 1)).error, 'Protocol error: too big inline request');
  assert.equal(parse(`\0${'A'.repeat(longest)}`).error, 'Protocol error: too big inline request');
  assert.equal(parse(`*\0${'A'.repeat(longest)}`).error, 'Protocol error: too big mbulk count string');
  assert.equal(parse(`*1\r\n$\0${'A'.repeat(longest)}`).error, 'Protocol error: too big bulk count string');
});

test('limits: arguments, bulk and command, and their wording before authentication', () => {
  const early = REQUEST_LIMITS_UNAUTHENTICATED;
  assert.equal(parse('*11\r\n', early).error, 'Protocol error: unauthenticated multibulk length');
  assert.equal(parse('*10\r\n', early).error, undefined);
  assert.equal(parse('*1\r\n$16385\r\n', early).error, 'Protocol error: unauthenticated bulk length');
  assert.equal(parse('*1\r\n$16384\r\n', early).error, undefined);
  assert.equal(
    parse('a b c d e f g h i j k\n', early).error,
    'Protocol error: unauthenticated multibulk length',
  );
  const tight = { ...REQUEST_LIMITS_DEFAULT, bulkBytesMax: 8, argumentsMax: 2, commandBytesMax: 20 };
  assert.equal(parse('*3\r\n', tight).error, 'Protocol error: invalid multibulk length');
  assert.equal(parse('*1\r\n$9\r\n', tight).error, 'Protocol error: invalid bulk length');
  assert.equal(parse('*1\r\n$8\r\n12345678\r\n', tight).commands.length, 1);
  assert.equal(parse('*2\r\n$1\r\na\r\n$8\r\n', tight).error, 'Protocol error: too big command');
});

test('limits may be replaced between commands', () => {
  const parser = new RequestParser(REQUEST_LIMITS_UNAUTHENTICATED);
  const eleven = `*11\r\n${'$1\r\na\r\n'.repeat(11)}`;
  parser.push(bytesOf(`AUTH x\r\n${eleven}`));
  assert.equal(parser.next()?.length, 2);
  parser.limits = REQUEST_LIMITS_DEFAULT;
  assert.equal(parser.next()?.length, 11);
});

test('after an error the parser is dead and holds nothing', () => {
  const parser = new RequestParser();
  parser.push(bytesOf('*1\r\nx'));
  parser.push(bytesOf('more'));
  assert.throws(() => parser.next(), ProtocolError);
  assert.equal(parser.bufferedBytes, 0);
  parser.push(bytesOf('PING\r\n'));
  assert.throws(() => parser.next(), ProtocolError);
  assert.equal(parser.bufferedBytes, 0);
});

test('arguments that lie in one chunk are views of it, also of a part of a larger buffer', () => {
  const parser = new RequestParser();
  const text = '*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n';
  const buffer = new Uint8Array(100);
  buffer.set(bytesOf(text), 7);
  parser.push(buffer.subarray(7, 7 + text.length));
  const words = parser.next();
  assert.equal(byteString(words![1]!), 'hello');
  assert.equal(words![1]!.buffer, buffer.buffer);
  assert.equal(words![1]!.byteOffset, 7 + text.indexOf('hello'));
});

test('a name seen again is the same array, and no part of a chunk', () => {
  const parser = new RequestParser();
  const chunk = bytesOf(
    '*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$3\r\nSET\r\n*1\r\n$3\r\nGET\r\n*1\r\n$3\r\nGES\r\n',
  );
  parser.push(chunk);
  const [first, other, again, last] = [parser.next(), parser.next(), parser.next(), parser.next()];
  assert.equal(first?.[0], again?.[0]);
  assert.notEqual(first?.[0]?.buffer, chunk.buffer);
  assert.deepEqual(
    [other, last].map((words) => byteString(words![0]!)),
    ['SET', 'GES'],
  );
});

test('bytes are counted until the command they belong to is handed out', () => {
  const parser = new RequestParser();
  const text = '*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n';
  for (let i = 0; i < text.length - 1; i++) {
    parser.push(bytesOf(text[i]!));
    assert.equal(parser.next(), undefined);
    assert.equal(parser.bufferedBytes, i + 1);
  }
  parser.push(bytesOf('\nPI'));
  assert.equal(parser.bufferedBytes, text.length + 2);
  assert.equal(parser.next()?.length, 2);
  assert.equal(parser.bufferedBytes, 2);
});

test('a large bulk in small pieces: whole, not slow, and no memory before the bytes come', () => {
  const length = 8 * 1024 * 1024;
  const parser = new RequestParser({ ...REQUEST_LIMITS_DEFAULT, commandBytesMax: 2 ** 30 });
  parser.push(bytesOf(`*1\r\n$500000000\r\n`));
  const before = process.memoryUsage().arrayBuffers;
  assert.equal(parser.next(), undefined);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024, 'allocated from a declared length');

  for (const pieceBytes of [100, 1460, 65536]) {
    const fed = new RequestParser();
    fed.push(bytesOf(`*1\r\n$${length}\r\n`));
    const began = performance.now();
    for (let at = 0; at < length; at += pieceBytes) {
      const piece = new Uint8Array(Math.min(pieceBytes, length - at)).fill((at / pieceBytes) & 0xff);
      fed.push(piece);
      assert.equal(fed.next(), undefined);
    }
    fed.push(bytesOf('\r\n'));
    const bulk = fed.next()![0]!;
    const tookMs = performance.now() - began;
    assert.equal(bulk.length, length);
    for (let at = 0; at < length; at++) {
      if (bulk[at] !== (Math.floor(at / pieceBytes) & 0xff)) assert.fail(`byte ${at} is wrong`);
    }
    assert.ok(tookMs < 3000, `${pieceBytes} bytes a piece took ${tookMs} ms: copying is not linear`);
  }
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Memory in use once the garbage is gone. */
function keptBytes(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test('many bytes one by one do not cost memory by the piece', () => {
  const parser = new RequestParser();
  const length = 300_000;
  parser.push(bytesOf(`*1\r\n$${length}\r\n`));
  assert.equal(parser.next(), undefined);
  const before = keptBytes();
  for (let i = 0; i < length; i++) {
    parser.push(new Uint8Array([0x61]));
    parser.next();
  }
  const kept = keptBytes() - before;
  assert.ok(kept < 5 * length, `${kept} bytes are kept for ${length} bytes that came`);
  assert.equal(parser.bufferedBytes, length + 4 + `$${length}\r\n`.length);
  parser.push(bytesOf('\r\n'));
  assert.equal(parser.next()?.[0]?.length, length);
});
