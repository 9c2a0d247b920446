/** Laws of the Redis protocol codec, over values and cuts that fast-check draws and shrinks. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteWriter, bytesOf } from '../../src/base/bytes.ts';
import { encodeReply } from '../../src/resp/encoder.ts';
import { formatFloatHuman, parseInteger, parseInteger64 } from '../../src/resp/number.ts';
import { RequestParser } from '../../src/resp/parser.ts';
import { ReplyParser } from '../../src/resp/reply-parser.ts';
import {
  DoubleReply,
  ErrorReply,
  MapReply,
  PushReply,
  type RespValue,
  SetReply,
  SimpleString,
  VerbatimReply,
} from '../../src/resp/value.ts';

const bytes = fc.uint8Array({ maxLength: 300 });
const cuts = fc.array(fc.nat(), { maxLength: 12 });

/** `whole` in pieces, cut at `at` modulo its length. */
function cut(whole: Uint8Array, at: readonly number[]): Uint8Array[] {
  const places = [0, ...at.map((place) => place % (whole.length + 1)), whole.length].sort((a, b) => a - b);
  return places.slice(1).map((end, i) => whole.subarray(places[i], end));
}

function joined(write: (writer: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter();
  write(writer);
  return writer.take();
}

test('a command encoded and cut anywhere is the same command', () => {
  const commands = fc.array(fc.array(bytes, { minLength: 1, maxLength: 6 }), { maxLength: 5 });
  fc.assert(
    fc.property(commands, cuts, (sent, at) => {
      const whole = joined((writer) => {
        for (const words of sent) encodeReply(writer, words, 2);
      });
      const parser = new RequestParser();
      const got: Uint8Array[][] = [];
      for (const piece of cut(whole, at)) {
        parser.push(piece);
        for (let words = parser.next(); words !== undefined; words = parser.next()) got.push(words);
      }
      assert.deepEqual(got, sent);
      assert.equal(parser.bufferedBytes, 0);
    }),
  );
});

const line = fc.string({ maxLength: 30 });
const { reply } = fc.letrec<{ reply: RespValue; items: RespValue[] }>((tie) => ({
  items: fc.array(tie('reply'), { maxLength: 4 }),
  reply: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<RespValue>(null, true, false),
    fc.maxSafeInteger(),
    fc.bigInt().filter((value) => BigInt.asIntN(53, value) !== value),
    bytes,
    line.map((text) => new SimpleString(text)),
    fc.tuple(fc.stringMatching(/^[A-Z]{1,8}$/), line).map(([code, text]) => new ErrorReply(code, text)),
    fc.double().map((value) => new DoubleReply(value)),
    bytes.map((text) => new VerbatimReply(text)),
    tie('items'),
    tie('items').map((items) => new SetReply(items as RespValue[])),
    tie('items').map((items) => new PushReply(items as RespValue[])),
    fc
      .array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 3 })
      .map((pairs) => new MapReply(pairs as [RespValue, RespValue][])),
  ),
}));

test('in RESP3 a reply encoded and cut anywhere is the same reply', () => {
  fc.assert(
    fc.property(reply, reply, cuts, (first, second, at) => {
      const whole = joined((writer) => {
        encodeReply(writer, first, 3);
        encodeReply(writer, second, 3);
      });
      const parser = new ReplyParser();
      const got: RespValue[] = [];
      for (const piece of cut(whole, at)) {
        parser.push(piece);
        for (let value = parser.next(); value !== undefined; value = parser.next()) got.push(value);
      }
      assert.deepEqual(got, [first, second]);
    }),
    { numRuns: 500 },
  );
});

test('in RESP2 every reply is one well-formed reply', () => {
  fc.assert(
    fc.property(reply, (value) => {
      const parser = new ReplyParser();
      parser.push(joined((writer) => encodeReply(writer, value, 2)));
      assert.notEqual(parser.next(), undefined);
      assert.equal(parser.next(), undefined);
      assert.equal(parser.bufferedBytes, 0);
    }),
  );
});

test('an integer is taken if and only if printing it gives the same text', () => {
  const text = fc.oneof(
    fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }).map(String),
    fc.stringMatching(/^[-+ 0]{0,2}[0-9]{0,20}$/),
    fc.string({ maxLength: 4 }).filter((value) => /^[\x00-\xff]*$/.test(value)),
  );
  fc.assert(
    fc.property(text, (value) => {
      const canonical = /^-?[0-9]+$/.test(value) && String(BigInt(value)) === value;
      const fits = canonical && BigInt.asIntN(64, BigInt(value)) === BigInt(value);
      assert.equal(parseInteger64(bytesOf(value)), fits ? BigInt(value) : undefined);
      const exact = parseInteger(bytesOf(value));
      if (fits) assert.equal(typeof exact, Number.isSafeInteger(Number(value)) ? 'number' : 'bigint');
    }),
    { numRuns: 2000 },
  );
});

test('a double for people reads back as itself and has no exponent', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const text = formatFloatHuman(value);
      assert.match(text, /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?$/);
      assert.equal(Number(text), value === 0 ? 0 : value);
    }),
    { numRuns: 2000 },
  );
});
