/**
 * Fuzzing of the request parser: streams of commands, sound and broken, cut anywhere.
 *
 * Each input is parsed three times: whole, in pieces, and by the plain model in resp-model.ts. All three
 * must tell the same commands and the same error; nothing but a `ProtocolError` may be thrown; and the
 * parser may never say it buffers more than it was given. Everything follows from one seed.
 *
 * `node test/fuzz/resp-fuzz.ts [count] [seed]` runs it by hand.
 */

import assert from 'node:assert/strict';
import { type ByteString, byteString, bytesOf } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import {
  ProtocolError,
  REQUEST_LIMITS_DEFAULT,
  type RequestLimits,
  RequestParser,
} from '../../src/resp/parser.ts';
import { modelParse, type Outcome } from './resp-model.ts';

/** Small limits, so that inputs of a few hundred bytes reach each of them. */
const tight: RequestLimits = { argumentsMax: 8, bulkBytesMax: 64, inlineBytesMax: 48, commandBytesMax: 160 };
const limitSets: readonly RequestLimits[] = [
  REQUEST_LIMITS_DEFAULT,
  tight,
  { ...tight, unauthenticated: true },
  { argumentsMax: 1000, bulkBytesMax: 100_000, inlineBytesMax: 16, commandBytesMax: 100_000 },
];

const names = ['GET', 'SET', 'get', 'PING', 'MSET', 'x', '', 'CONFIG', 'A-NAME-LONGER-THAN-ANY-COMMAND'];
const absurd = [
  '*1000000000\r\n',
  '*2147483648\r\n',
  '*9223372036854775807\r\n',
  '*9223372036854775808\r\n',
  '*-9223372036854775809\r\n',
  '*-1\r\n',
  '*-10\r\n',
  '*0\r\n',
  '*-0\r\n',
  '*01\r\n',
  '*+1\r\n',
  '*\r\n',
  '* 1\r\n',
  '*1\n',
  '*1\r\r\n',
  '*1 \r\n',
  '*1048577\r\n',
  '*1\r\n$500000000\r\n',
  '*1\r\n$536870913\r\n',
  '*1\r\n$-1\r\n',
  '*1\r\n$\r\n\r\n',
  '*1\r\n$00\r\n\r\n',
  '*1\r\n$3\r\nabcd\r\n',
  '*1\r\n*1\r\n*1\r\n',
  '*2\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n',
  '*1\r\nfoo\r\n',
  '$5\r\nhello\r\n',
  '\x00',
  '*\x00',
  '$\x00',
  'POST / HTTP/1.1\r\nHost: here\r\n\r\n',
  "\"a\\x41\\xzz\\n\\q\" 'b\\'c'\r\n",
  'a"b c"\n',
  '"a"b\n',
  "'a'b\n",
  '"a\n',
  "it's\n",
  '   \t \r\n',
  '\n',
  '\r\n',
  '\r\r\n',
];
const alphabet = '*$0123456789-+ \r\n\r\n"\'\\xaGET\t\v\0\xff';

function draw(random: Prng, count: number, from: string): ByteString {
  let text = '';
  for (let i = 0; i < count; i++) text += from[random.below(from.length)]!;
  return text;
}

function drawBytes(random: Prng, count: number): ByteString {
  let text = '';
  for (let i = 0; i < count; i++) text += String.fromCharCode(random.below(256));
  return text;
}

function command(random: Prng): ByteString {
  const count = random.chance(0.02) ? random.between(6, 40) : random.between(1, 4);
  let text = `*${count}\r\n`;
  for (let i = 0; i < count; i++) {
    const argument = i === 0 ? random.pick(names) : drawBytes(random, bulkBytes(random));
    text += `$${argument.length}\r\n${argument}\r\n`;
  }
  return text;
}

function bulkBytes(random: Prng): number {
  const kind = random.below(100);
  if (kind === 0) return random.below(300);
  if (kind < 10) return random.below(70);
  return random.below(8);
}

function mutate(random: Prng, text: ByteString): ByteString {
  const at = random.below(text.length + 1);
  const end = Math.min(text.length, at + random.between(1, 3));
  switch (random.below(5)) {
    case 0:
      return text.slice(0, at) + draw(random, 1, alphabet) + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + text.slice(end);
    case 2:
      return text.slice(0, at) + draw(random, random.between(1, 3), alphabet) + text.slice(at);
    case 3:
      return text.slice(0, at) + text.slice(random.below(text.length + 1));
    default:
      return text.slice(0, at) + random.pick(absurd) + text.slice(at);
  }
}

function input(random: Prng): ByteString {
  let text = '';
  for (let parts = random.between(1, 3); parts > 0; parts--) {
    const kind = random.below(16);
    if (kind < 10) text += command(random);
    else if (kind < 12) text += random.pick(absurd);
    else if (kind < 14) text += `${draw(random, random.below(30), alphabet)}\n`;
    else if (kind === 14) text += drawBytes(random, random.below(40));
    else text += draw(random, random.below(80), alphabet);
  }
  if (random.chance(0.5)) text = mutate(random, text);
  if (random.chance(0.1)) text = mutate(random, text);
  return text;
}

/** Where the input is cut: everywhere, or in a few places. */
function pieces(random: Prng, bytes: Uint8Array): Uint8Array[] {
  const most = random.chance(0.2) ? 1 : random.between(1, Math.max(1, bytes.length));
  const cut: Uint8Array[] = [];
  let at = 0;
  while (at < bytes.length) {
    const end = Math.min(bytes.length, at + random.between(1, most));
    cut.push(bytes.subarray(at, end));
    at = end;
  }
  return cut;
}

/** Parses `chunks`, pushing them in groups: `next` is not always called after each. */
function parse(chunks: readonly Uint8Array[], limits: RequestLimits, lazy: number): Outcome {
  const parser = new RequestParser(limits);
  const views: Uint8Array[][] = [];
  let error: string | undefined;
  let pushedBytes = 0;
  let handedBytes = 0;
  try {
    for (let i = 0; i < chunks.length; i++) {
      parser.push(chunks[i]!);
      pushedBytes += chunks[i]!.length;
      assert.ok(parser.bufferedBytes <= pushedBytes - handedBytes, 'buffers more than it was given');
      if (i % lazy !== lazy - 1 && i !== chunks.length - 1) continue;
      for (let words = parser.next(); words !== undefined; words = parser.next()) {
        views.push(words);
        for (const word of words) handedBytes += word.length;
      }
      assert.ok(parser.bufferedBytes <= limits.commandBytesMax + limits.inlineBytesMax, 'buffers too much');
    }
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
    error = thrown.message;
    assert.throws(() => parser.next(), ProtocolError);
    parser.push(bytesOf('PING\r\n'));
    assert.equal(parser.bufferedBytes, 0);
  }
  const commands: ByteString[][] = [];
  for (const words of views) {
    const texts: ByteString[] = [];
    for (const word of words) texts.push(byteString(word));
    commands.push(texts);
  }
  return { commands, error, bufferedBytes: parser.bufferedBytes };
}

function same(a: Outcome, b: Outcome): boolean {
  if (a.error !== b.error || a.bufferedBytes !== b.bufferedBytes || a.commands.length !== b.commands.length)
    return false;
  for (let i = 0; i < a.commands.length; i++) {
    const left = a.commands[i]!;
    const right = b.commands[i]!;
    if (left.length !== right.length) return false;
    for (let j = 0; j < left.length; j++) if (left[j] !== right[j]) return false;
  }
  return true;
}

/** What a run saw, to show that it came by what it should come by. */
export interface FuzzResult {
  readonly inputs: number;
  readonly bytes: number;
  readonly commands: number;
  /** How often each error was met. */
  readonly errors: ReadonlyMap<string, number>;
}

/**
 * Runs `count` inputs drawn from `seed`.
 *
 * @throws Error that names the seed, the input and the outcomes where they differ.
 */
export function fuzzRequests(count: number, seed: number): FuzzResult {
  const random = new Prng(seed);
  const errors = new Map<string, number>();
  let bytesSeen = 0;
  let commands = 0;
  for (let i = 0; i < count; i++) {
    const text = input(random);
    const limits = random.pick(limitSets);
    const bytes = bytesOf(text);
    bytesSeen += bytes.length;
    const about = () => `seed ${seed}, input ${i}: ${JSON.stringify(text)} under ${JSON.stringify(limits)}`;
    let whole: Outcome;
    let cut: Outcome;
    try {
      whole = parse([bytes], limits, 1);
      cut = parse(pieces(random, bytes), limits, random.chance(0.8) ? 1 : random.between(2, 5));
    } catch (error) {
      throw new Error(`the parser broke on ${about()}`, { cause: error });
    }
    const model = modelParse(text, limits);
    if (!same(whole, cut) || !same(whole, model)) {
      throw new Error(
        `different outcomes for ${about()}\nwhole ${JSON.stringify(whole)}\ncut   ${JSON.stringify(cut)}\nmodel ${JSON.stringify(model)}`,
      );
    }
    commands += whole.commands.length;
    if (whole.error !== undefined) {
      const name = whole.error.replace(/got '.*'/, 'got');
      errors.set(name, (errors.get(name) ?? 0) + 1);
    }
  }
  return { inputs: count, bytes: bytesSeen, commands, errors };
}

if (import.meta.main) {
  const count = Number(process.argv[2] ?? 1_000_000);
  const seed = Number(process.argv[3] ?? Date.now());
  const began = performance.now();
  const result = fuzzRequests(count, seed);
  const seconds = (performance.now() - began) / 1000;
  console.log(`seed ${seed}: ${result.inputs} inputs, ${result.bytes} bytes, ${seconds.toFixed(1)} s`);
  console.log(`${result.commands} commands; errors:`);
  for (const [name, times] of [...result.errors].sort((a, b) => b[1] - a[1]))
    console.log(`  ${times} ${name}`);
}
